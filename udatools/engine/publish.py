# SPDX-License-Identifier: Apache-2.0
"""Checkpoints for other people: a plain mmseg model of the student or the teacher, as ``.pth`` and ``.safetensors``.

What training needed (optimiser, objectives, discriminators, auxiliary heads, the other of the two networks) is left out. Both
files carry config and classes, so that each is enough for ``tools/infer.py``, and the first eight hex digits of their SHA-256
in the name, as is the custom of this field. The ``.pth`` loads with ``torch.load(weights_only=True)``.
"""
import hashlib
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from udatools.engine.export import exported_config, plain_model
from udatools.engine.frame_predictor import config_of
from udatools.engine.runner.checkpoints import CheckpointError, read_checkpoint, safetensors_bytes
from udatools.engine.runner.stages import StageConfig
from udatools.utils.atomic import write_bytes_atomic, write_text_atomic

PREFIXES = {'student': 'segmentor.', 'teacher': 'teacher.segmentor.'}
DTYPES = {'float32': torch.float32, 'float16': torch.float16}
_NAME = re.compile(r'[\w.-]*\w')


@dataclass(frozen=True)
class PublishedModel:
    """Files of one model.

    Attributes:
        pth (Path): ``<name>-<hash>.pth``.
        safetensors (Path): ``<name>-<hash>.safetensors``.
        config (Path): ``<name>.py``.
        parameters (int): numbers in the network, buffers included.
    """
    pth: Path
    safetensors: Path
    config: Path
    parameters: int


def publish_model(checkpoint: Path, folder: Path, name: str, *, weights: str = 'student', config: str | None = None,
                  dtype: str = 'float32') -> PublishedModel:
    """Writes a model in the three files of :class:`PublishedModel`.

    Args:
        checkpoint (Path): ``stages/*/iter_*.pth`` or ``final/model.pth``.
        folder (Path): where to.
        name (str): of the model; letters, digits, ``_``, ``.`` and ``-``.
        weights (str): ``'student'``, or ``'teacher'`` of a stage that has one.
        config (str, optional): of the checkpoint, as in :func:`udatools.engine.frame_predictor.load_frame_predictor`.
        dtype (str): ``'float32'``, or ``'float16'`` for half the size and logits that differ in the fourth digit. Read back,
            the network computes in float32 either way.

    Raises:
        CheckpointError: if the checkpoint cannot be read, or does not have these weights.
        ValueError: for an unknown name, choice or dtype, or where float16 would lose a weight.
    """
    if weights not in PREFIXES or dtype not in DTYPES:
        raise ValueError(f'got weights={weights!r}, dtype={dtype!r}; expected one of {", ".join(PREFIXES)}, and one of '
                         f'{", ".join(DTYPES)}')
    if not _NAME.fullmatch(name):
        raise ValueError(f'the name {name!r} would not do as a file name; use letters, digits, _, . and -')
    content = read_checkpoint(checkpoint)
    cfg, origin = config_of(checkpoint, content, config)
    model, state, plain = _stripped(cfg, content['state_dict'], weights, checkpoint, origin)
    state = {key: _converted(key, value, DTYPES[dtype]) for key, value in sorted(state.items())}
    text = _without_machine(exported_config(cfg, model, plain=plain)).pretty_text
    meta = {'cfg': text, 'dataset_meta': _names((content.get('meta') or {}).get('dataset_meta') or {})}
    buffer = BytesIO()
    torch.save({'meta': meta, 'state_dict': state}, buffer)
    pth = _write(folder, name, '.pth', buffer.getvalue())
    tensors = _write(folder, name, '.safetensors', safetensors_bytes(state, meta))
    write_text_atomic(folder / f'{name}.py', text)
    return PublishedModel(pth, tensors, folder / f'{name}.py', sum(value.numel() for value in state.values()))


def _stripped(cfg: Config, state: dict[str, Tensor], weights: str, checkpoint: Path,
              origin: str) -> tuple[dict, dict[str, Tensor], bool]:
    """Config and weights of the plain model, and whether stock mmseg alone can build it."""
    if 'segmentor' not in cfg.model:
        if weights == 'teacher':
            raise CheckpointError(f'{checkpoint} is an exported model, which has no teacher; give the checkpoint of a stage, '
                                  'stages/*/iter_*.pth')
        return cfg.model.to_dict(), state, 'custom_imports' not in cfg
    prefix = PREFIXES[weights]
    chosen = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not chosen:
        having = [other for other, start in PREFIXES.items() if any(key.startswith(start) for key in state)]
        raise CheckpointError(f'{checkpoint} has no {weights} (config: {origin}); it has: {", ".join(having) or "neither"}. '
                              'Only stages with `teacher` in their model have one, such as those of DACS, DAFormer and MIC')
    return plain_model(cfg.model.to_dict(), chosen)


def _converted(key: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    converted = value.to(dtype)
    if not torch.equal(converted.isfinite(), value.isfinite()):
        raise ValueError(f'{key} holds values up to {float(value.abs().max()):.3g}, beyond what {dtype} holds; use float32')
    return converted


def _names(meta: dict[str, Any]) -> dict[str, Any]:
    """Classes and palette as lists of plain values."""
    plain = {'classes': str, 'palette': lambda colour: [int(part) for part in colour]}
    return {key: [convert(item) for item in meta[key]] for key, convert in plain.items() if meta.get(key) is not None}


def _without_machine(cfg: StageConfig) -> StageConfig:
    """Absolute paths, which are those of the machine that trained, become folders below ``data/``."""
    def relative(value: Any) -> Any:
        if isinstance(value, str):
            return f'data/{PurePath(value).name}' if PurePath(value).is_absolute() else value
        if isinstance(value, dict):
            return {key: relative(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(relative(item) for item in value)
        return value
    return StageConfig(relative(cfg.to_dict()))


def _write(folder: Path, name: str, suffix: str, data: bytes) -> Path:
    path = folder / f'{name}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}'
    write_bytes_atomic(path, data)
    return path
