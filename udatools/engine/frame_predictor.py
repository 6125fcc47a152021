# SPDX-License-Identifier: Apache-2.0
"""A trained network for frames in memory, from a checkpoint alone where that says which network it is of.

An exported checkpoint has its ``config.py`` beside it; that of a stage, as any that mmengine writes, carries the config inside.
"""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import Tensor

from udatools.datasets.taxonomies import get_class_set
from udatools.engine.cli import load_tested
from udatools.engine.config_text import read_config_text
from udatools.engine.runner.checkpoints import CheckpointError, read_checkpoint
from udatools.engine.runner.stages import resolve_references
from udatools.ops.digests import json_digest, state_dict_digest
from udatools.ops.histograms import WinningPrediction, winning_prediction
from udatools.registry import MODELS
from udatools.zoo.catalogue import checkpoint_file

IMAGE_LOADERS = ('LoadImageFromFile', 'LoadImageFromNDArray', 'LoadDomainImage')
LABEL_LOADERS = ('LoadAnnotations', 'LoadDomainLabel')
_OF_TRAINING = dict(objectives=[], teacher=None, mixing=None, label_refinement=None)


class FramePredictor:
    """Classes and probabilities of images, at the size of the images.

    They go through the pipeline and the ``test_step`` that ``tools/test.py`` and ``mmseg.apis`` use: a model is scored and
    shown alike, whatever its ``test_cfg``.

    Args:
        model (nn.Module): a plain mmseg segmentor or a ``UDASegmentor``, on its device.
        pipeline (Sequence[Mapping]): of a test set. The transform that reads the file is replaced, those that read labels are
            left out.
        classes (Sequence[str]): names, in the order of train ids.
        palette (Sequence[Sequence[int]]): RGB, 0..255, one a class.

    Raises:
        ValueError: if the pipeline does not start with reading an image, or there is not one colour a class.
    """

    def __init__(self, model: torch.nn.Module, pipeline: Sequence[Mapping[str, Any]], classes: Sequence[str],
                 palette: Sequence[Sequence[int]]) -> None:
        if not pipeline or pipeline[0]['type'] not in IMAGE_LOADERS:
            got = pipeline[0]['type'] if pipeline else 'nothing'
            raise ValueError(f'the test pipeline of the config starts with {got}; expected one of {", ".join(IMAGE_LOADERS)}')
        if len(classes) != len(palette):
            raise ValueError(f'got {len(classes)} classes and {len(palette)} colours; expected one colour a class')
        loader = dict(type='LoadImageFromNDArray', to_float32=pipeline[0].get('to_float32', False))
        self.model = model.eval()
        self._steps = [loader, *(dict(step) for step in pipeline[1:] if step['type'] not in LABEL_LOADERS)]
        self.pipeline = Compose(self._steps)
        self.classes, self.palette = list(classes), [tuple(colour) for colour in palette]

    @torch.no_grad()
    def logits(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        """The answer of the network to a batch.

        Args:
            images (Sequence[np.ndarray]): uint8, (H, W, 3), BGR, of one size where there are several.

        Returns:
            list[Tensor]: float, (C, H, W), unnormalised, at the size of the image, on the model's device.

        Raises:
            ValueError: if the model has another number of classes than names.
        """
        packed = [self.pipeline(dict(img=image)) for image in images]
        samples = self.model.test_step({key: [item[key] for item in packed] for key in ('inputs', 'data_samples')})
        found = [sample.seg_logits.data for sample in samples]
        if len(found[0]) != len(self.classes):
            raise ValueError(f'the model predicts {len(found[0])} classes, the names are of {len(self.classes)}; name the class '
                             'set that it was trained with')
        return found

    @torch.no_grad()
    def features(self, image: np.ndarray, level: int = -1) -> Tensor:
        """What the backbone (and neck, where there is one) makes of an image.

        Args:
            image (np.ndarray): uint8, (H, W, 3), BGR.
            level (int): which of its outputs; by default the last.

        Returns:
            Tensor: float32, (D, h, w), on the model's device.

        Raises:
            ValueError: if the network has no such output.
        """
        packed = self.pipeline(dict(img=image))
        data = self.model.data_preprocessor({key: [packed[key]] for key in ('inputs', 'data_samples')}, False)
        found = getattr(self.model, 'segmentor', self.model).extract_feat(data['inputs'])
        if not -len(found) <= level < len(found):
            raise ValueError(f'the network has {len(found)} outputs of features, there is no level {level}; expected '
                             f'{-len(found)} to {len(found) - 1}')
        return found[level][0].float()

    def predict(self, images: Sequence[np.ndarray]) -> list[WinningPrediction]:
        """Class and probability of every pixel; ``images`` as of :meth:`logits`."""
        return [winning_prediction(logits.float().softmax(0))._replace(label=train_ids(logits)) for logits in self.logits(images)]

    def fingerprint(self) -> str:
        """Hash of the weights."""
        return state_dict_digest(self.model.state_dict())

    def reading_digest(self) -> str:
        """Hash of how images get to the network: transforms, normalisation and padding, windows or the whole."""
        segmentor, normaliser = getattr(self.model, 'segmentor', self.model), self.model.data_preprocessor
        how = {key: getattr(normaliser, key, None) for key in ('mean', 'std', 'channel_conversion', 'size_divisor', 'test_cfg')}
        how |= dict(pipeline=self._steps, windows=segmentor.test_cfg, align_corners=segmentor.align_corners)
        return json_digest({key: repr(value) for key, value in how.items()})


def train_ids(logits: Tensor) -> np.ndarray:
    """The class that mmseg predicts: uint8, (H, W), on the CPU; of the logits (C, H, W), not of rounded probabilities."""
    return logits.argmax(0).to(torch.uint8).cpu().numpy()


def load_frame_predictor(checkpoint: str | Path, config: str | Path | None = None, *, device: str | None = None,
                         classes: str | None = None) -> FramePredictor:
    """The network of a checkpoint, ready to predict.

    Args:
        checkpoint (str | Path): ``final/model.pth``, ``stages/*/iter_*.pth``, ``.safetensors``, a checkpoint of mmseg, or a
            name of the model zoo.
        config (str | Path, optional): its config, by default the ``config.py`` beside it, else the one inside.
        device (str, optional): such as ``'cpu'`` or ``'cuda:1'``; by default a GPU where there is one.
        classes (str, optional): class set, by default that of the checkpoint.

    Raises:
        CheckpointError: if the checkpoint cannot be read, does not fit, or nothing says which network it is of.
        DownloadError: if a network of the zoo cannot be had.
        ValueError: for a device that is not there, or if nothing names the classes.
    """
    path = checkpoint_file(checkpoint)
    content = read_checkpoint(path)
    cfg, origin = config_of(path, content, config)
    device = device or get_device()
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'the device {device} was asked for, but torch sees no GPU; use cpu')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    training = _OF_TRAINING if 'segmentor' in cfg.model else {}
    model = MODELS.build(ConfigDict(cfg.model, **training))
    try:
        load_tested(model, content['state_dict'], str(path), origin)
    except RuntimeError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f'{path} does not fit the network of {origin}; give its own config ({error})') from error
    return FramePredictor(model.to(device), _test_pipeline(cfg, origin), *_classes(path, content, classes))


def config_of(checkpoint: Path, content: Mapping[str, Any], config: str | Path | None) -> tuple[Config, str]:
    """The config of a checkpoint, references resolved, and where it was found.

    Args:
        checkpoint (Path): the file.
        content (Mapping): what is in it.
        config (str | Path, optional): a config; by default the ``config.py`` beside the checkpoint, else the one inside.

    Raises:
        CheckpointError: if nothing says which network it is of.
        FileNotFoundError: if ``config`` does not exist.
    """
    beside = checkpoint.parent / 'config.py'
    if config is not None and not Path(config).is_file():
        raise FileNotFoundError(f'the config {config} does not exist')
    if config is not None or beside.is_file():
        origin = str(config or beside)
        cfg = Config.fromfile(origin)
    elif text := (content.get('meta') or {}).get('cfg'):
        origin = f'the config inside {checkpoint}'
        try:
            cfg = Config(read_config_text(text))
        except ValueError as error:
            raise CheckpointError(f'{checkpoint}: {error}; name its config with --config') from error
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
    else:
        raise CheckpointError(f'nothing says which network {checkpoint} is of: there is no {beside}, and no config inside; name '
                              'its config with --config')
    cfg = resolve_references(cfg)
    if 'model' not in cfg:
        raise CheckpointError(f'{origin} has no `model`; name the config of {checkpoint} with --config')
    return cfg, origin


def _test_pipeline(cfg: Config, origin: str) -> list[dict]:
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    pipeline = cfg.get('test_pipeline') or dataset.get('pipeline')
    if not pipeline:
        raise ValueError(f'{origin} does not say how images get to the network; add test_pipeline = [...]')
    return Config(dict(pipeline=pipeline)).to_dict()['pipeline']


def _classes(checkpoint: Path, content: Mapping[str, Any], name: str | None) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    meta = (content.get('meta') or {}).get('dataset_meta') or {}
    if name is not None:
        chosen = get_class_set(name)
        return chosen.classes, chosen.palette
    if not meta.get('classes') or not meta.get('palette'):
        raise ValueError(f'{checkpoint} does not say what its classes are called; name their set with --classes, such as '
                         'cityscapes19, or the path of a JSON file with classes and palette')
    return meta['classes'], meta['palette']
