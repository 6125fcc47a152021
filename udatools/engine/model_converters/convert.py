# SPDX-License-Identifier: Apache-2.0
"""From a published DeepLabv2 checkpoint to ``model.pth`` and a ``config.py`` that ``tools/test.py`` evaluates.

Every published parameter has to find its place and every place its parameter; otherwise nothing is written. The config
resizes images as the authors' evaluation does (Pillow, bicubic). One step differs: mmseg upsamples the logits to the
network's input and from there to the image, the authors go there at once; the logits themselves are the same.
"""
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from udatools.datasets.taxonomies import ClassSet, get_class_set, list_class_sets
from udatools.engine.runner.stages import StageConfig, resolve_references
from udatools.evaluation.protocols import get_protocol
from udatools.registry import MODELS
from udatools.utils.atomic import write_bytes_atomic, write_text_atomic

from .layouts import FIRST_TWO, LAYOUTS, ConversionError, State, check_fit, clean_keys, convert_state, detect_layout

_IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
# How images were normalised in training: nothing in a checkpoint says so.
PREPROCESSING: dict[str, dict[str, Any]] = {
    'caffe': {},  # that of the base configs
    'imagenet-rgb': dict(_IMAGENET, bgr_to_rgb=True),
    'imagenet-bgr': dict({key: value[::-1] for key, value in _IMAGENET.items()}, bgr_to_rgb=False),
}
_WRAPPERS = ('state_dict', 'model', 'model_state', 'net')
_RESIZING = dict(interpolation='bicubic', backend='pillow')


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        checkpoint (Path): the weights, ``backbone.*``, ``decode_head.*`` and perhaps ``auxiliary_head.*``.
        config (Path | None): the plain mmseg config; None for a backbone alone.
        layout (str): name of the published layout.
        branches (str): ``'all'`` or ``'first-two'``; of the classifiers.
        parameters (int): how many numbers.
    """
    checkpoint: Path
    config: Path | None
    layout: str
    branches: str
    parameters: int


def read_published(path: Path) -> tuple[State, str]:
    """The tensors of a published file by name, and its SHA-256.

    Args:
        path (Path): written by ``torch.save``: names to tensors, or such a dict under ``state_dict`` or ``model``.

    Raises:
        ConversionError: when the file is missing, holds more than tensors and plain values, or no dict of tensors.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConversionError(f'{path} cannot be read ({error.strerror or error}); expected a checkpoint') from error
    try:
        content = torch.load(BytesIO(data), map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises whatever its readers raise
        reason = str(error).strip().splitlines()
        raise ConversionError(f'{path} cannot be read as a file of tensors ({type(error).__name__}: '
                              f'{reason[0][:200] if reason else ""}). Files that hold other Python objects are refused, for they '
                              'can run code; load such a file where you trust it and save its state_dict alone') from error
    found: Any = content
    while isinstance(found, Mapping) and not _is_state(found):
        inner = next((found[name] for name in _WRAPPERS if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping) or not _is_state(found):
        what = f'the entries {", ".join(map(str, list(found)[:12]))}' if isinstance(found, Mapping) else type(found).__name__
        raise ConversionError(f'{path} holds {what}; expected tensors by name, or these under one of {", ".join(_WRAPPERS)}')
    return dict(found), hashlib.sha256(data).hexdigest()


def _is_state(content: Mapping) -> bool:
    return bool(content) and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())


def convert_checkpoint(source: Path, folder: Path, *, bases: Path, layout: str = 'auto', classes: str = 'cityscapes19',
                       protocols: Sequence[str] = (), branches: str = 'auto', preprocessing: str = 'caffe',
                       rename: Sequence[tuple[str, str]] = (), dataset: Path | None = None, options: dict | None = None,
                       backbone_only: bool = False, force: bool = False) -> Conversion:
    """Writes ``folder/model.pth`` and then ``folder/config.py``, each of them whole or not at all.

    Args:
        source (Path): the published file.
        folder (Path): where to.
        bases (Path): the folder ``configs/_base_``.
        layout (str): a name of ``LAYOUTS``, or ``'auto'``: by the keys.
        classes (str): class set of the network's outputs, in this order.
        protocols (Sequence[str]): what the config reports; defaults to the class set itself.
        branches (str): of each classifier: ``'all'``, ``'first-two'`` or ``'auto'`` (see ``layouts.trained_branches``).
        preprocessing (str): a name of ``PREPROCESSING``.
        rename (Sequence[tuple[str, str]]): regular expressions and replacements for foreign names, applied first.
        dataset (Path, optional): config file with ``test_dataloader`` and ``test_pipeline``; by default Cityscapes, for
            ``camvid11`` CamVid.
        options (dict, optional): dotted overrides of the network's base config.
        backbone_only (bool): leave the classifiers out and write no config; for ``segmentor.backbone.weights``.
        force (bool): overwrite.

    Raises:
        ConversionError: see the parts; nothing has been written then.
    """
    checkpoint, config = folder / 'model.pth', None if backbone_only else folder / 'config.py'
    if not force and (existing := [str(path) for path in (checkpoint, config) if path is not None and path.exists()]):
        raise ConversionError(f'{" and ".join(existing)} already there; give another folder, or --force to overwrite')
    if checkpoint.resolve() == source.resolve():
        raise ConversionError(f'{checkpoint} is the published file itself; give another folder')
    if preprocessing not in PREPROCESSING:
        raise ConversionError(f'preprocessing is {preprocessing!r}; expected one of {", ".join(PREPROCESSING)}')
    if layout not in ('auto', *LAYOUTS):
        raise ConversionError(f"layout is {layout!r}; expected 'auto' or one of {', '.join(LAYOUTS)}")
    class_set = get_class_set(classes)

    published, digest = read_published(source)
    published = clean_keys(published, tuple(rename))
    chosen = detect_layout(published) if layout == 'auto' else LAYOUTS[layout]
    state, taken = convert_state(published, chosen, branches=branches)
    model = _model_config(bases / 'models' / chosen.model, class_set, PREPROCESSING[preprocessing], options or {}, taken)
    if backbone_only:
        state = {key: value for key, value in state.items() if key.startswith('backbone.')}
    else:
        _check_classes(state, class_set)
    state = check_fit(state, _expected_state(model, backbone_only))

    meta: dict[str, Any] = {'converted': dict(source=source.name, sha256=digest, layout=chosen.name, branches=taken)}
    text = ''
    if config is not None:
        meta['dataset_meta'] = dict(classes=class_set.classes, palette=[list(colour) for colour in class_set.palette])
        data = _data_config(dataset or bases / 'datasets' / _default_dataset(classes), class_set)
        content = dict(default_scope='mmseg', custom_imports=dict(imports=['udatools']), model=model) | data
        content['test_evaluator'] = _evaluators(protocols or (classes, ), class_set)
        text = (f'# Converted from {source.name}: layout {chosen.name}, branches of the classifiers: {taken}.\n'
                f'{StageConfig(content).pretty_text}')
    buffer = BytesIO()
    torch.save({'meta': meta, 'state_dict': state}, buffer)
    write_bytes_atomic(checkpoint, buffer.getvalue())
    if config is not None:
        write_text_atomic(config, text)
    return Conversion(checkpoint, config, chosen.name, taken, sum(value.numel() for value in state.values()))


def _model_config(path: Path, class_set: ClassSet, preprocessing: dict, options: dict, branches: str) -> dict[str, Any]:
    """A plain mmseg model from a base config of this repository."""
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({'num_classes': len(class_set), 'data_preprocessor': preprocessing} | options)
    cfg = resolve_references(cfg)
    model = cfg.segmentor.to_dict()
    model['backbone']['weights'] = 'scratch'  # nobody loads weights to overwrite them
    for head in (model['decode_head'], model.get('auxiliary_head')):
        if head is not None and branches == 'first-two':
            head['dilations'] = FIRST_TWO
    return dict(model, data_preprocessor=dict(cfg.data_preprocessor.to_dict(), type='SegDataPreProcessor'))


def _check_classes(state: State, class_set: ClassSet) -> None:
    outputs = {key: value.shape[0] for key, value in state.items() if '.branches.' in key}
    if wrong := {count for count in outputs.values() if count != len(class_set)}:
        found = ', '.join(map(str, sorted(wrong)))
        fitting = [name for name in list_class_sets() if {len(get_class_set(name))} == wrong]
        raise ConversionError(f'the classifiers of the checkpoint have {found} outputs, the class set {class_set.name} has '
                              f'{len(class_set)}; choose ' + (f'--classes {" or ".join(fitting)}' if fitting else
                                                              'a class set of that size (udatools/datasets/taxonomies)'))


def _expected_state(model: dict, backbone_only: bool) -> Mapping[str, Tensor]:
    init_default_scope('mmseg')
    with torch.device('meta'):  # shapes without memory
        if backbone_only:
            return {f'backbone.{key}': value for key, value in MODELS.build(model['backbone']).state_dict().items()}
        return MODELS.build(model).state_dict()


def _evaluators(names: Sequence[str], class_set: ClassSet) -> list[dict[str, Any]]:
    protocols = [get_protocol(name) for name in names]
    if misfit := [protocol.name for protocol in protocols if not protocol.fits(class_set.classes)]:
        raise ConversionError(f'the protocols {", ".join(misfit)} need classes that {class_set.name} does not have; '
                              'choose others')
    first = dict(type='ProtocolIoUMetric', protocol=protocols[0].name)
    return [first, *(dict(first, protocol=other.name, prefix=other.name) for other in protocols[1:])]


def _default_dataset(classes: str) -> str:
    return 'syn2camvid.py' if classes == 'camvid11' else 'cityscapes_target.py'


def _data_config(path: Path, class_set: ClassSet) -> dict[str, Any]:
    """What a test needs, with roots that are still read from the environment when the config is."""
    cfg = Config.fromfile(path, use_environment_variables=False)
    if missing := [key for key in ('test_dataloader', 'test_pipeline') if key not in cfg]:
        raise ConversionError(f'{path} has no {" and no ".join(missing)}; expected a base config of a data set')
    cfg.merge_from_dict(dict(classes=class_set.name, num_classes=len(class_set)))
    resolved = resolve_references(cfg).to_dict()
    content = {key: resolved[key] for key in ('test_dataloader', 'test_pipeline')}
    content['test_dataloader']['dataset']['classes'] = class_set.name
    for pipeline in (content['test_pipeline'], content['test_dataloader']['dataset']['pipeline']):
        for step in pipeline:
            if step['type'] == 'Resize':
                step.update(_RESIZING)
    return content | {'test_cfg': dict(type='TestLoop')}
