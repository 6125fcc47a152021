# SPDX-License-Identifier: Apache-2.0
"""The frames between the labelled ones of Cityscapes-VPS, which its release leaves to Cityscapes.

A clip is a snippet of 30 frames of ``leftImg8bit_sequence/val`` of which frames 4, 9, 14, 19, 24 and 29 are labelled; all
three splits come from there. The frames are linked, not copied: 15,000 of them are 35 GB.
"""
from __future__ import annotations

import os
from pathlib import Path

from udatools.datasets.cityscapes_vps import CityscapesVPSDomain, parse_frame_name
from udatools.datasets.domain_dataset import DatasetLayoutError

CLIP_LENGTH, FIRST_LABELLED, LABEL_STEP = 30, 4, 5


def link_sequences(root: Path, split: str, sequences: Path) -> int:
    """Makes ``<root>/<split>/img_all`` with all frames of the clips in ``<root>/<split>/img``, as links to ``sequences``.

    A link that exists is kept, so the call can be repeated. Names have the position in the clip, 0001 to 0030, in second
    place: ``0005_0005_frankfurt_000000_001736_leftImg8bit.png``.

    Args:
        root (Path): Root folder of Cityscapes-VPS.
        split (str): ``train``, ``val`` or ``test``.
        sequences (Path): ``leftImg8bit_sequence/val`` of Cityscapes, with a folder a city.

    Returns:
        int: Links made; 0 if all were there.

    Raises:
        DatasetLayoutError: If a folder or a frame is missing; nothing is linked then.
        OSError: If a link cannot be made.
        ValueError: If the labelled frames of a clip are not six, 5 apart.
    """
    images = CityscapesVPSDomain(root, split=split, image_dir='img', labelled=False)
    clips: dict[str, dict[int, str]] = {}
    for key in images.keys:
        clip, name, frame = parse_frame_name(Path(key).name)
        clips.setdefault(clip, {})[frame] = name
    links: dict[Path, Path] = {}
    for clip, names in clips.items():
        links |= _links_of_clip(images.image_root().with_name('img_all'), clip, names, sequences)
    missing = [source for source in links.values() if not source.exists()]
    if missing:
        raise DatasetLayoutError(f'{len(missing)} of {len(links)} frames are not in {sequences}, the first is {missing[0]}; give '
                                 'the folder leftImg8bit_sequence/val of Cityscapes (clips of all splits come from there)')
    made = 0
    for link, source in links.items():
        if link.is_symlink() or link.exists():
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(os.path.relpath(source, link.parent), link)
        made += 1
    return made


def _links_of_clip(folder: Path, clip: str, names: dict[int, str], sequences: Path) -> dict[Path, Path]:
    """Link -> frame, for the 30 frames of a clip whose labelled frames are ``names``."""
    first = min(names)
    expected = [first + LABEL_STEP * i for i in range((CLIP_LENGTH - FIRST_LABELLED - 1) // LABEL_STEP + 1)]
    if sorted(names) != expected:
        raise ValueError(f'clip {clip} has the labelled frames {sorted(names)}; expected {expected}, six frames {LABEL_STEP} '
                         'apart')
    drive = names[first].rpartition('_')[0]
    result = {}
    for position in range(CLIP_LENGTH):
        name = f'{drive}_{first - FIRST_LABELLED + position:06d}_leftImg8bit.png'
        result[folder / f'{clip}_{position + 1:04d}_{name}'] = sequences / drive.partition('_')[0] / name
    return result
