# SPDX-License-Identifier: Apache-2.0
"""The network that comes with the package: sees streets straight after installation, and scores what its record says."""
import json

import cv2
import numpy as np
import pytest

from udatools.datasets.minidrive import generate_minidrive
from udatools.engine.cli import evaluate
from udatools.engine.frame_predictor import load_frame_predictor
from udatools.engine.runner.checkpoints import read_checkpoint
from udatools.zoo.catalogue import find_checkpoint


@pytest.fixture(scope='module')
def validation(tmp_path_factory):
    """The validation images of MiniDrive as ``*_minidrive`` configs have them; each is a function of its number."""
    root = tmp_path_factory.mktemp('minidrive')
    generate_minidrive(root, num_source=0, num_target_train=0, formats=('cityscapes', ), progress=False)
    return root / 'cityscapes'


def test_it_sees_a_street(validation):
    predictor = load_frame_predictor('spl_minidrive', device='cpu')
    image = sorted((validation / 'leftImg8bit' / 'val').rglob('*.png'))[0]
    label = next((validation / 'gtFine' / 'val').rglob(f'{image.stem.removesuffix("_leftImg8bit")}*labelTrainIds.png'))
    predicted, confidence = predictor.predict([cv2.imread(str(image))])[0]
    truth = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    labelled = truth != 255
    assert (predicted == truth)[labelled].mean() > 0.75 and np.median(confidence) > 0.5
    assert predictor.classes[0] == 'road' and len(predictor.classes) == 19


@pytest.mark.slow
def test_it_scores_what_its_record_says(validation, tmp_path, repo_root):
    entry = find_checkpoint('spl_minidrive')
    record = json.loads((repo_root / 'docs/records/minidrive/spl_minidrive' / f'seed_{entry.seed}.json').read_text())
    config = tmp_path / 'spl_minidrive.py'
    config.write_text(read_checkpoint(entry.built_in)['meta']['cfg'], encoding='utf-8')
    options = {'test_dataloader.dataset.data_root': str(validation)}
    metrics = evaluate(str(config), str(entry.built_in), work_dir=str(tmp_path / 'test'), options=options)
    assert metrics['mIoU'] == pytest.approx(record['results']['stages'][-1]['metrics']['mIoU'], abs=0.05)
    assert metrics['mIoU'] == pytest.approx(entry.miou, abs=0.05)
