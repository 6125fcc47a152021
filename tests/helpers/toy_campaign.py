# SPDX-License-Identifier: Apache-2.0
"""A finished labelling campaign made by hand: two rounds over three images, answered by two people, no model."""
import json
from pathlib import Path

import cv2
import numpy as np

from udatools.active.ledger import LabelLedger
from udatools.active.request import (
    Answer,
    Request,
    RequestItem,
    class_table,
    number_regions,
    region_digest,
    write_mask,
    write_request,
)

CLASSES = ('road', 'car', 'sky', 'pole')
PALETTE = ((128, 64, 128), (0, 0, 142), (70, 130, 180), (153, 153, 153))
SIZE = (24, 32)
KEYS = ('a/one', 'a/two', 'b/Žoë')
VOID, NONE = 254, 255


def truth(i):
    """Sky above road, a car, and void at the bottom; uint8, (24, 32)."""
    label = np.zeros(SIZE, np.uint8)
    label[:8] = 2
    label[12:18, 5 + 4 * i:11 + 4 * i] = 1
    label[22:] = VOID
    return label


def asked(round, i):
    """Where round 1 or 2 asks: a block across car and road, then four rows from sky to void in one column each."""
    mask = np.zeros(SIZE, bool)
    if round == 1:
        mask[12:16, 3 + 4 * i:9 + 4 * i] = True  # 4 x 6: two columns of road, four of car
    elif i < 2:
        mask[2:6, 1] = mask[18:24, 30] = True  # four of sky; four of road and two of void
    return mask


def toy_results(name='ppl_toy', seed=0, rounds=2):
    """Content of ``results.json``: 20 mIoU at the source, 30 after round 1, 36 after round 2."""
    iou = {'source': (40.0, 10.0, 20.0, 10.0), 'round1_main': (50.0, 40.0, 20.0, 10.0), 'round2_main': (55.0, 45.0, 40.0, 4.0)}
    stages = [dict(name=stage, round=i, metrics=dict(mIoU=sum(values) / 4, IoU=dict(zip(CLASSES, values))), labelled={})
              for i, (stage, values) in enumerate(iou.items()) if i <= rounds]
    return dict(schema_version=1, name=name, seed=seed, protocol='toy4', classes=CLASSES, palette=PALETTE, stages=stages,
                baselines=[])


def baseline(root, name, miou):
    """The work directory of a run without a ledger."""
    content = toy_results(name, rounds=0)
    content['stages'][0]['metrics']['mIoU'] = miou
    root.mkdir(parents=True)
    (root / 'results.json').write_text(json.dumps(content), encoding='utf-8')
    return root


def write_costs(work_dir, **costs):
    """The config of a run whose oracle has these costs."""
    (work_dir / 'config.py').write_text(
        "stages = [dict(name='main', config=dict(custom_hooks=[dict(\n"
        f"    type='ActiveLabelingHook', annotator=dict(type='GroundTruthOracle', costs={costs!r}))]))]\n")


def toy_campaign(root, name='ppl_toy', seed=0, kind='segments'):
    """Write the work directory; ana answers all, bo half of the first image of round 1, differently."""
    root = Path(root)
    root.mkdir(parents=True)
    (root / 'results.json').write_text(json.dumps(toy_results(name, seed)), encoding='utf-8')
    with LabelLedger(root / 'ledger.sqlite') as ledger:
        ledger.open_campaign({})
        for number in (1, 2):
            request = toy_request(root / 'requests' / f'round_{number}', number, kind)
            ledger.add_request(request)
            ledger.record(request, toy_answers(request, number))
        ledger.checkpoint()
    return root


def toy_request(root, number, kind) -> Request:
    """The request of a round; the predictions stored with it say road everywhere."""
    items = []
    for i, key in enumerate(KEYS):
        mask = asked(number, i)
        region = number_regions(mask, points=kind == 'points')
        count = int(mask.sum())
        stored = (write_mask(root, key, region), region_digest(region)) if count else (None, '')
        items.append(RequestItem(key, f'{key}.png', '', *SIZE, count, count, int(region.max()), *stored))
        for folder, array in (('predictions', np.zeros(SIZE, np.uint8)), ('images', np.full((*SIZE, 3), 90, np.uint8))):
            path = root / folder / f'{key}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), array)
    header = dict(input_hash='h', run='r', round=number, num_rounds=2, kind=kind, selector={}, ignore_index=255,
                  classes=class_table(CLASSES, PALETTE), images=len(KEYS), total_pixels=len(KEYS) * SIZE[0] * SIZE[1],
                  dataset_fingerprint='print', budget=dict(unit='pixels', limit=None, spent=0, left=None,
                                                           asked=sum(item.asked for item in items)))
    return write_request(root, header, items)


def toy_answers(request, number):
    """Answers of 60 seconds and three clicks an image; one pixel of the first lies outside of the request."""
    for i, key in enumerate(KEYS):
        mask = asked(number, i)
        if mask.any():
            answer = np.where(mask, truth(i), NONE).astype(np.uint8)
            if i == 0:
                answer[0, 0] = 2
            yield Answer(key, answer, 'ana', 'test', clicks=3, components=1, seconds=60.0)
    if number == 1:
        answer = np.full(SIZE, NONE, np.uint8)
        answer[12:14, 3:9] = 3
        yield Answer(KEYS[0], answer, 'bo', 'test', clicks=1, components=1, seconds=30.0)
