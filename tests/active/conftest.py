# SPDX-License-Identifier: Apache-2.0
"""A campaign of five tiny images with fixed predictions and truth, an oracle that notes what it opens, gloo ranks."""

import cv2
import numpy as np
import pytest
import torch

from udatools.active import Answer, GroundTruthOracle, LabORSPLSelector, ask_round
from udatools.active.request import RequestItem, class_table, number_regions, region_digest, write_mask, write_request
from udatools.active.round_plan import RoundPlan, TargetSet

HEIGHT, WIDTH, CLASSES = 12, 17, ('road', 'car', 'sky')
KEYS = [f'city_{c}/frame_{i}' for c, i in (('b', 0), ('a', 1), ('a', 0), ('c', 0), ('b', 1))]
PALETTE = [(128, 64, 128), (0, 0, 142), (70, 130, 180)]


class TruthDataset:
    """What the oracle needs of a labelled DomainDataset; counts every label it opens."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.truth = {key: rng.choice([0, 1, 2, 255], (HEIGHT, WIDTH), p=[.4, .3, .2, .1]).astype(np.uint8)
                      for key in KEYS}
        self.opened = []

    def load_label(self, key):
        self.opened.append(key)
        return self.truth[key].copy()

    def label_path(self, key):
        return f'gt/{key}.png'


class Campaign:
    """The pieces of a round and a way to run it in a folder."""

    def __init__(self, image_root):
        self.image_root = image_root
        generator = torch.Generator().manual_seed(11)
        make = lambda scale: scale * torch.randn(3, HEIGHT, WIDTH, generator=generator)  # noqa: E731
        self.outputs = {}
        for key in KEYS:
            base = make(2)
            self.outputs[key] = dict(prob=base.softmax(0), prob1=(base + make(.4)).softmax(0),
                                     prob2=(base + make(.4)).softmax(0),
                                     image=torch.full((3, HEIGHT, WIDTH), 7, dtype=torch.uint8))
            path = image_root / f'{key}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 7, np.uint8))
        self.dataset = TruthDataset()
        self.target = TargetSet(KEYS, [str(image_root / f'{key}.png') for key in KEYS], CLASSES, PALETTE, 'print')
        self.calls = []

    @property
    def oracle(self):
        return GroundTruthOracle(self.dataset)

    def predict(self, i, names):
        self.calls.append((i, tuple(names)))
        return {name: self.outputs[KEYS[i]][name] for name in names}

    def mask(self, key):
        """The whole inconsistency mask of an image."""
        outputs = self.outputs[key]
        return (outputs['prob1'].argmax(0) != outputs['prob2'].argmax(0)).numpy()

    def ask(self, root, round=1, *, num_rounds=3, budget=None, selector=None, annotator=None, predict=None, **plan):
        plan = RoundPlan(round=round, num_rounds=num_rounds, budget=budget, weights=dict(main=f'sha{round}'), **plan)
        return ask_round(plan, self.target, predict or self.predict, selector or LabORSPLSelector(),
                         annotator or self.oracle, ledger_path=root / 'ledger.sqlite',
                         request_dir=root / 'requests' / f'round_{round}', label_dir=root / 'labels')


@pytest.fixture
def campaign(tmp_path):
    return Campaign(tmp_path / 'images')


@pytest.fixture
def make_request(tmp_path):
    """Function: a request that asks for given boolean masks {key: (H, W)}."""

    def make(masks, round=1, kind='segments', name='request'):
        root, items = tmp_path / f'{name}_{round}', []
        for key, asked in masks.items():
            region = number_regions(asked, points=kind == 'points')
            items.append(RequestItem(key, f'{key}.png', '', *asked.shape, int(asked.sum()), int(asked.sum()),
                                     int(region.max()), write_mask(root, key, region), region_digest(region)))
        asked = sum(item.asked for item in items)
        header = dict(input_hash='h', run='r', round=round, kind=kind, selector={}, ignore_index=255,
                      classes=class_table(CLASSES, PALETTE), images=len(items), dataset_fingerprint='print',
                      total_pixels=sum(m.size for m in masks.values()),
                      budget=dict(unit='pixels', limit=None, asked=asked, spent=0, left=None))
        return write_request(root, header, items)

    return make


@pytest.fixture
def make_answer():
    """Function: an answer to one image."""
    return lambda key, answer, annotator='anna', **costs: Answer(key, np.asarray(answer, np.uint8), annotator, 'test',
                                                                 **costs)
