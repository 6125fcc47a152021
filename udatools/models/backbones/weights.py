# SPDX-License-Identifier: Apache-2.0
"""Where backbone weights come from: a published name, a local path, or nowhere because the config says so.

A backbone never starts from random weights unless its config says ``weights='scratch'``. Files are looked for in the
folder ``UDATOOLS_WEIGHTS`` and in torch's cache, then fetched from ``UDATOOLS_WEIGHTS_MIRROR`` (a base address that holds
the files under their own names) or, by default, from where torchvision or mmseg publishes them.
"""
import os
from pathlib import Path

import torch
import torch.nn as nn
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log

from udatools.compat import import_torchvision
from udatools.utils.download import fetch_file

SCRATCH = 'scratch'
TORCHVISION_FILES = {
    'resnet18': 'resnet18-f37072fd.pth',
    'resnet34': 'resnet34-b627a593.pth',
    'resnet50': 'resnet50-0676ba61.pth',
    'resnet101': 'resnet101-63fe2227.pth',
    'vgg16': 'vgg16-397923af.pth',
    'raft_small': 'raft_small_C_T_V2-01064c6d.pth',
    'raft_large': 'raft_large_C_T_SKHT_V2-ff5fadd5.pth',
}
# Mix transformers of SegFormer, trained on ImageNet, under the names of mmseg's parameters.
MMSEG_FILES = {
    'mit_b0': 'mit_b0_20220624-7e0fe6dd.pth',
    'mit_b1': 'mit_b1_20220624-02e5a6a1.pth',
    'mit_b2': 'mit_b2_20220624-66e8bf70.pth',
    'mit_b3': 'mit_b3_20220624-13b1141c.pth',
    'mit_b4': 'mit_b4_20220624-d588d980.pth',
    'mit_b5': 'mit_b5_20220624-658746d9.pth',
}
PUBLISHED = {'torchvision': TORCHVISION_FILES, 'mmseg': MMSEG_FILES}
_MMSEG_BASE = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer'


class WeightsUnavailableError(RuntimeError):
    """Backbone weights were asked for and cannot be had."""


def resolve_weights(weights: str) -> Path:
    """The local file of a weights specification, downloading it when it has to.

    Args:
        weights (str): ``torchvision://NAME``, ``mmseg://NAME`` or a path to a ``.pth`` file.

    Returns:
        Path: an existing file.

    Raises:
        WeightsUnavailableError: for an unknown name, a missing file, or a failed download; says what to do.
    """
    publisher, separator, name = weights.partition('://')
    if not separator or publisher not in PUBLISHED:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsUnavailableError(f'backbone weights {path} do not exist. {_remedy(path.name)}')
        return path
    if name not in PUBLISHED[publisher]:
        raise WeightsUnavailableError(f"no {publisher} weights are known as '{name}'; choose one of "
                                      f'{", ".join(sorted(PUBLISHED[publisher]))}, a local path, or weights=\'{SCRATCH}\'')
    file_name = PUBLISHED[publisher][name]
    folders = weights_folders()
    for folder in folders:
        if (folder / file_name).is_file():
            return folder / file_name
    return _download(file_name, folders[0], publisher)


def weights_folders() -> list[Path]:
    """Where weights are looked for; the first is where they are fetched to."""
    custom = os.environ.get('UDATOOLS_WEIGHTS')
    return [*([Path(custom).expanduser()] if custom else []), Path(torch.hub.get_dir()) / 'checkpoints']


def _download(file_name: str, folder: Path, publisher: str) -> Path:
    base = (os.environ.get('UDATOOLS_WEIGHTS_MIRROR') or published_base(publisher)).rstrip('/')
    failure: Exception | None = None
    if is_main_process():
        try:
            print_log(f'Downloading {base}/{file_name} to {folder}', logger='current')
            fetch_file([f'{base}/{file_name}'], folder / file_name, sha256=hash_of_name(file_name))
        except Exception as error:
            failure = error
    barrier()
    if failure is not None or not (folder / file_name).is_file():
        raise WeightsUnavailableError(f'{file_name} is not on this machine and could not be fetched from {base}'
                                      f'{f" ({failure})" if failure else ""}. {_remedy(file_name)}') from failure
    return folder / file_name


def hash_of_name(file_name: str) -> str:
    """The beginning of a file's sha256, as ``NAME-<hash>.pth`` says it."""
    return Path(file_name).stem.rpartition('-')[2]


def published_base(publisher: str) -> str:
    """The address that the installed torchvision names, or mmseg's configs."""
    if publisher == 'mmseg':
        return _MMSEG_BASE
    torchvision = import_torchvision()
    if torchvision is None:
        raise WeightsUnavailableError('torchvision, which knows where its weights are published, is not installed; install it, '
                                      'or set UDATOOLS_WEIGHTS or UDATOOLS_WEIGHTS_MIRROR')
    return torchvision.models.get_weight('ResNet101_Weights.IMAGENET1K_V1').url.rpartition('/')[0]


def _remedy(file_name: str) -> str:
    return (f'Put {file_name} into a folder and set UDATOOLS_WEIGHTS to it, or set UDATOOLS_WEIGHTS_MIRROR to an address that '
            'has it, or give a path with --cfg-options segmentor.backbone.weights=/path/to/file.pth, or train from '
            f'random weights on purpose with --cfg-options segmentor.backbone.weights={SCRATCH}')


def load_backbone_weights(backbone: nn.Module, weights: str) -> None:
    """Loads classification weights into a backbone in place; its classifier's keys are left out.

    Args:
        backbone (nn.Module): with the parameter names of torchvision, or of mmseg for its files, or a ``convert_weights`` that
            gives them its own.
        weights (str): see ``resolve_weights``; ``'scratch'`` leaves the backbone as it is and says so.

    Raises:
        WeightsUnavailableError: see ``resolve_weights``, or when the file cannot be read or lacks parameters of the backbone.
    """
    if weights == SCRATCH:
        print_log('The backbone starts from random weights, as its config says.', logger='current')
        return
    path = resolve_weights(weights)
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
        state = state.get('state_dict', state)
    except Exception as error:  # torch raises whatever its readers raise
        raise WeightsUnavailableError(f'backbone weights {path} cannot be read as a file of tensors by name '
                                      f'({type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ""}). '
                                      f'{_remedy(path.name)}') from error
    state = {key.removeprefix('backbone.'): value for key, value in state.items()}
    state = getattr(backbone, 'convert_weights', dict)(state)
    own = backbone.state_dict()
    missing = [key for key in own if key not in state and not key.endswith('num_batches_tracked')
               and not key.startswith(getattr(backbone, 'new_layers', ('\0',)))]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or wrong:
        raise WeightsUnavailableError(f'{path} does not fit {type(backbone).__name__}: {len(missing)} parameters are missing '
                                      f'({", ".join(missing[:3])}...), {len(wrong)} have another shape ({", ".join(wrong[:3])}); '
                                      'give weights of this network')
    backbone.load_state_dict({key: state[key] for key in own if key in state}, strict=False)
    print_log(f'Backbone weights from {path}', logger='current')
