# SPDX-License-Identifier: Apache-2.0
"""Features of images and pixels of both domains by a trained network, for retrieval and embedding plots.

Images are those of a training config: its source, and of the target the training images (without labels) or the validation set
(with them). Both domains go through the test pipeline of the network, as it is deployed; nothing is augmented. Labels of the
target's training images are never opened.
"""
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from udatools.datasets.domain_dataset import DomainDataset
from udatools.engine.frame_predictor import FramePredictor
from udatools.engine.runner.stages import resolve_references
from udatools.ops.embedding import balanced_sample
from udatools.registry import DATASETS
from udatools.utils.png import read_image
from udatools.utils.progress import Progress
from udatools.utils.rng import derive_seed, make_generator


class SampledPixels(NamedTuple):
    """Pixels of some images of a domain.

    Attributes:
        positions (dict[str, Tensor]): key -> int64 (n, 2), row and column at native resolution.
        label (Tensor): int64, (N,), train ids, in the order of ``positions``.
    """
    positions: dict[str, Tensor]
    label: Tensor


def training_config(checkpoint: str | Path, config: str | Path | None = None, options: Mapping[str, Any] | None = None) -> Config:
    """The config that says what the domains are, references resolved.

    Args:
        checkpoint (str | Path): ``final/model.pth`` or ``stages/*/iter_*.pth`` of a run.
        config (str | Path, optional): a training config; by default the ``config.py`` of the checkpoint's run.
        options (Mapping, optional): dotted overrides.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it trains on no pair of domains.
    """
    path = Path(config) if config is not None else None
    if path is None:  # final/ and stages/NN_name/ are below the work directory
        found = [parent for parent in Path(checkpoint).resolve().parents[1:3] if (parent / 'journal.json').is_file()]
        if not found:
            raise FileNotFoundError(f'{checkpoint} is in no work directory of tools/train.py; name the training config with '
                                    '--config')
        path = found[0] / 'config.py'
    if not path.is_file():
        raise FileNotFoundError(f'the config {path} does not exist')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(options or {}))
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    cfg = resolve_references(cfg)
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    if not dataset.get('source') or not (cfg.get('target_images') or dataset.get('target')):
        raise ValueError(f'{path} names no source and target; give a training config with both domains, such as '
                         'configs/adaptsegnet/adaptsegnet_minidrive.py')
    return cfg


def domain_images(cfg: Config, domain: str, *, labelled: bool = False) -> DomainDataset:
    """The images of a domain, without a pipeline.

    Args:
        cfg (Config): of :func:`training_config`.
        domain (str): ``source``: its training images; ``target``: its training images, or ``labelled`` the validation set.
        labelled (bool): with ground truth.

    Raises:
        ValueError: for another domain, or a target that should be labelled and has no validation set.
    """
    if domain == 'source':
        found = cfg.train_dataloader.dataset.source
    elif domain == 'target' and not labelled:
        found = cfg.get('target_images') or cfg.train_dataloader.dataset.target
    elif domain == 'target':
        found = (cfg.get('val_dataloader') or {}).get('dataset')
        if not found:
            raise ValueError('the config has no val_dataloader, so there is no labelled target to look at; take the classes that '
                             'the network predicts')
    else:
        raise ValueError(f"domain is {domain!r}; expected 'source' or 'target'")
    settings = Config(dict(found)).to_dict()
    if settings['type'] == 'ClipDataset':  # its frames one by one
        settings = settings['dataset']
    return DATASETS.build(dict(settings, labelled=labelled, label_dir=None, pipeline=[], test_mode=True))


def choose_keys(dataset: DomainDataset, count: int | None, seed: int, domain: str) -> list[str]:
    """At most ``count`` images of a set, drawn by seed and name of the domain, in the order of the set; None: all.

    Raises:
        ValueError: if ``count`` is below 1.
    """
    if count is not None and count < 1:
        raise ValueError(f'got {count} images; expected at least 1')
    keys = dataset.keys
    order = make_generator(seed, 'analysed images', domain).permutation(len(keys))
    return [keys[i] for i in sorted(order[:count])]


def image_descriptors(predictor: FramePredictor, dataset: DomainDataset, keys: Sequence[str], *, level: int = -1,
                      title: str = 'images') -> Tensor:
    """Features averaged over the image.

    Args:
        predictor (FramePredictor): the network.
        dataset (DomainDataset): of the images.
        keys (Sequence[str]): which of them.
        level (int): output of the backbone.
        title (str): for the progress.

    Returns:
        Tensor: float32, (N, D), on the CPU.
    """
    rows = []
    with Progress(title, len(keys), 'images') as progress:
        for done, key in enumerate(keys, 1):
            rows.append(predictor.features(read_image(dataset.image_path(key)), level).mean((1, 2)).cpu())
            progress.update(done)
    return torch.stack(rows)


def sample_pixels(keys: Sequence[str], label_of: Callable[[str], np.ndarray], per_class: int, seed: int,
                  domain: str) -> SampledPixels:
    """Draws the same number of pixels of every class, spread over the images.

    An image gives at most four times its even share of a class as candidates; of all candidates, ``per_class`` are drawn.

    Args:
        keys (Sequence[str]): images.
        label_of (Callable): key -> train ids, uint8 (H, W), 255 = ignored.
        per_class (int): >= 1; a class with fewer candidates gives all it has.
        seed (int): with the domain and the key, what draws.
        domain (str): tells the draws of two domains apart.

    Raises:
        ValueError: if no pixel has a label.
    """
    share = max(1, math.ceil(4 * per_class / max(1, len(keys))))
    owners, places, labels = [], [], []
    for number, key in enumerate(keys):
        label = label_of(key)
        flat = torch.from_numpy(label.reshape(-1))
        chosen = balanced_sample(flat, share, _generator(seed, domain, key))
        owners.append(torch.full_like(chosen, number))
        places.append(torch.stack([chosen // label.shape[1], chosen % label.shape[1]], 1))
        labels.append(flat[chosen].long())
    owner, place, label = torch.cat(owners), torch.cat(places), torch.cat(labels)
    kept = balanced_sample(label, per_class, _generator(seed, domain, 'all images'))
    if not len(kept):
        raise ValueError(f'no pixel of the {len(keys)} {domain} images has a label')
    owner, place = owner[kept], place[kept]
    positions = {key: place[owner == number] for number, key in enumerate(keys) if bool((owner == number).any())}
    return SampledPixels(positions, label[kept])


def _generator(seed: int, *parts: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, 'analysed pixels', *parts))


def pixel_features(predictor: FramePredictor, dataset: DomainDataset, pixels: SampledPixels, *, level: int = -1,
                   title: str = 'pixels') -> Tensor:
    """Features at pixels, interpolated as a head upsamples (bilinear, corners not aligned).

    Args:
        predictor (FramePredictor): the network.
        dataset (DomainDataset): of the images.
        pixels (SampledPixels): where.
        level (int): output of the backbone.
        title (str): for the progress.

    Returns:
        Tensor: float32, (N, D), on the CPU, in the order of ``pixels.label``.
    """
    rows = []
    with Progress(title, len(pixels.positions), 'images') as progress:
        for done, (key, place) in enumerate(pixels.positions.items(), 1):
            image = read_image(dataset.image_path(key))
            rows.append(features_at(predictor.features(image, level), place, image.shape[:2]).cpu())
            progress.update(done)
    return torch.cat(rows)


def features_at(features: Tensor, place: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolates a feature map at the centres of pixels.

    Args:
        features (Tensor): float, (D, h, w).
        place (Tensor): integer, (n, 2), row and column in an image of ``size``.
        size (tuple[int, int]): (H, W).

    Returns:
        Tensor: float, (n, D).
    """
    extent = torch.tensor(size, dtype=features.dtype, device=features.device)
    centre = (place.to(features.device) + 0.5) / extent * 2 - 1
    grid = centre.flip(1)[None, None]  # x before y
    found = F.grid_sample(features[None], grid, mode='bilinear', padding_mode='border', align_corners=False)
    return found[0, :, 0].T


def label_reader(dataset: DomainDataset, predictor: FramePredictor | None) -> Callable[[str], np.ndarray]:
    """Key -> train ids: ground truth of a labelled set, or with a network what it predicts."""
    if predictor is None:
        return dataset.load_label
    return lambda key: predictor.predict([read_image(dataset.image_path(key))])[0].label


def check_classes(predictor: FramePredictor, dataset: DomainDataset) -> None:
    """Labels are read by position: a network and a data set with other classes do not go together.

    Raises:
        ValueError: if they differ.
    """
    names = list(dataset.metainfo['classes'])
    if names != predictor.classes:
        raise ValueError(f'the network has the {len(predictor.classes)} classes {", ".join(predictor.classes)}, the data set '
                         f'{type(dataset).__name__} the {len(names)} classes {", ".join(names)}; give the config that the '
                         'checkpoint was trained with')
