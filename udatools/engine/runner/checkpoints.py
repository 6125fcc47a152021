# SPDX-License-Identifier: Apache-2.0
"""Finding the newest readable checkpoint of a stage, and starting one stage from another's weights."""
import json
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from udatools.compat import load_weights
from udatools.models.segmentors import PixelSelector, UDASegmentor

_META = 'meta'  # of the header of a safetensors file
_ITERATION = re.compile(r'iter_(\d+)\.pth$')


class CheckpointError(RuntimeError):
    """No checkpoint can be read, or one does not fit."""


def iteration_of(path: Path) -> int:
    """Iterations done according to a checkpoint's file name."""
    match = _ITERATION.search(path.name)
    if match is None:
        raise CheckpointError(f'{path} is not named iter_N.pth')
    return int(match.group(1))


def list_checkpoints(stage_dir: Path) -> list[Path]:
    """Checkpoints of a stage, newest first."""
    return sorted((path for path in stage_dir.glob('iter_*.pth') if _ITERATION.search(path.name)), key=iteration_of, reverse=True)


def read_checkpoint(path: Path, *, own: bool = False) -> dict[str, Any]:
    """A checkpoint's content on the CPU.

    Args:
        path (Path): a file of ``torch.save``, or ``.safetensors``.
        own (bool): whether it lies in the work directory of this run or in its stage store. Of other files only weights and plain
            values are loaded: a pickle can run code.

    Returns:
        dict: ``state_dict``, and ``meta`` as mmengine has it.

    Raises:
        CheckpointError: when the file is missing, truncated or no checkpoint.
    """
    try:
        if path.suffix == '.safetensors':
            return read_safetensors(path)
        content = torch.load(path, map_location='cpu', weights_only=False) if own else load_weights(path)
        if not isinstance(content, dict) or 'state_dict' not in content:
            raise ValueError('it holds no state_dict')
    except OSError as error:
        reason = f'{type(error).__name__}: {error}'
        raise CheckpointError(f'{path} is not a readable checkpoint ({reason}); give another') from error
    except UnpicklingError as error:
        raise CheckpointError(
            f'{path} is not a readable checkpoint: it is damaged, or holds objects beside weights and plain values, which are '
            f'not loaded because that may run code ({_first_line(error)}); give another, or save its state_dict and meta anew '
            'where it comes from') from error
    except Exception as error:
        reason = f'{type(error).__name__}: {error}'
        raise CheckpointError(f'{path} is not a readable checkpoint ({reason}); delete it or give another') from error
    return content


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), '')[:200]


def read_safetensors(path: Path) -> dict[str, Any]:
    """``state_dict`` and ``meta`` of a file of :func:`safetensors_bytes`; one of another program has no ``meta``."""
    from safetensors import safe_open
    with safe_open(path, framework='pt', device='cpu') as file:
        meta = json.loads((file.metadata() or {}).get(_META, '{}'))
        return {'meta': meta, 'state_dict': {key: file.get_tensor(key) for key in file.keys()}}  # noqa: SIM118 - no dict


def safetensors_bytes(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """Weights and their ``meta`` in the safetensors format.

    Args:
        state (Mapping[str, Tensor]): weights.
        meta (Mapping): of JSON values. It is one entry of the header: the order of several is not defined, and equal weights
            should be equal files.
    """
    from safetensors.torch import save
    return save({key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()},
                metadata={_META: json.dumps(meta, sort_keys=True)})


def newest_readable(stage_dir: Path) -> Path | None:
    """The newest checkpoint that can be read; says which ones were passed over. None when the stage has no file.

    Raises:
        CheckpointError: when files exist and none of them can be read.
    """
    candidates = list_checkpoints(stage_dir)
    for path in candidates:
        try:
            read_checkpoint(path, own=True)
        except CheckpointError as error:
            print_log(f'{error}. Falling back to the one before.', logger='current', level=30)
        else:
            return path
    if candidates:
        raise CheckpointError(f'none of the {len(candidates)} checkpoints in {stage_dir} can be read; delete them to train this '
                              'stage again')
    return None


def start_from(model: UDASegmentor, path: Path) -> None:
    """Copies into ``model`` every parameter that a stage's (or plain mmseg's) checkpoint has under the same name.

    The segmentor has to be complete but for an auxiliary head; objectives take over the discriminators that fit. A
    ``PixelSelector`` that starts from a main model copies its classifier twice (LabOR, Algorithm 1, line 7). The file may be
    anybody's (``load_from``): no code in it is run.

    Raises:
        CheckpointError: when the file cannot be read, holds more than weights and plain values, or parts of the segmentor are
            missing or have another shape.
    """
    state = read_checkpoint(path)['state_dict']
    if not any(key.startswith('segmentor.') for key in state):
        state = {f'segmentor.{key}': value for key, value in state.items()}
    own = model.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    lacking = [key for key in own if key.startswith('segmentor.') and not key.startswith('segmentor.auxiliary_head')
               and key not in fitting]
    if lacking:
        raise CheckpointError(f'{path} does not fit the model: {len(lacking)} parameters of the segmentor are missing or have '
                              f'another shape, such as {lacking[0]}; start from a checkpoint of the same network and classes')
    model.load_state_dict(fitting, strict=False)
    if isinstance(model, PixelSelector) and not any(key.startswith('second_head.') for key in fitting):
        model.copy_main_classifier()
