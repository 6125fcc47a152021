# SPDX-License-Identifier: Apache-2.0
"""Finding the newest readable checkpoint of a stage, and starting one stage from another's weights."""
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from udatools.models.segmentors import PixelSelector, UDASegmentor

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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content on the CPU.

    Raises:
        CheckpointError: when the file is missing, truncated or no checkpoint.
    """
    try:
        content = torch.load(path, map_location='cpu', weights_only=False)
        if not isinstance(content, dict) or 'state_dict' not in content:
            raise ValueError('it holds no state_dict')
    except Exception as error:
        reason = f'{type(error).__name__}: {error}'
        raise CheckpointError(f'{path} is not a readable checkpoint ({reason}); delete it or give another') from error
    return content


def newest_readable(stage_dir: Path) -> Path | None:
    """The newest checkpoint that can be read; says which ones were passed over. None when the stage has no file.

    Raises:
        CheckpointError: when files exist and none of them can be read.
    """
    candidates = list_checkpoints(stage_dir)
    for path in candidates:
        try:
            read_checkpoint(path)
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
    ``PixelSelector`` that starts from a main model copies its classifier twice (LabOR, Algorithm 1, line 7).

    Raises:
        CheckpointError: when parts of the segmentor are missing or have another shape.
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
