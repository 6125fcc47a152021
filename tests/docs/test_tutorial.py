# SPDX-License-Identifier: Apache-2.0
"""The tutorial is followed to the letter: every command of it runs, in its order, and the people in it are played by programs.

What is smaller here: the generator of MiniDrive gets options appended, the config that the page saves gets lines appended,
``python`` is a fork of a process that has imported everything, and the page is served on a free port.
"""
import json
import os
import re
import xml.etree.ElementTree as ElementTree
import zipfile

import cv2
import pytest
from guide_blocks import blocks_of, prose
from guide_yard import Clone
from mmengine.config import Config
from page_client import VOID
from shrink import REPO

from udatools.active import LabelLedger
from udatools.datasets.taxonomies import get_class_set

PAGE = REPO / 'docs' / 'tutorial_200_clicks.md'
SMALL_DATA = ' --size 64x32 --num-source 6 --num-target-train 40 --num-target-val 3'
SMALL_CONFIG = """
image_size, crop_size = (64, 32), (32, 64)
iters = dict(train=10, source=2, warmup=2, self_training=2, discrepancy=2, main=2)
train_dataloader.update(batch_size=2)
labor.update(discrepancy_lr=0.02)  # so few steps must make the classifiers differ
segmentor = dict(backbone=dict(base_channels=4, stem_channels=4), decode_head=dict(in_channels=32))
discriminator = dict(channels=(4, ))
"""


def steps():
    """The page in its order: ('bash', commands) and ('save', (file name, content))."""
    found = []
    for block in blocks_of(PAGE):
        if block.language == 'bash':
            found.append(('bash', block.code))
        elif block.language == 'python':
            assert block.save_as, f'the text before {block} does not say how to save it'
            found.append(('save', (block.save_as, block.code)))
    return found


class Street(Clone):
    """A folder in which somebody follows the page; what people see there is MiniDrive's ground truth."""

    def __init__(self, root, environment):
        super().__init__(root, environment)
        self.clicked = {}

    def label(self, image):
        """Label of a training image by the name that the request gives it: uint8, (H, W)."""
        name = image.rpartition('/')[2].replace('_leftImg8bit.png', '_gtFine_labelTrainIds.png')
        path, = (self.root / 'data/minidrive/cityscapes/gtFine/train').rglob(name)
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)

    def run(self, code):
        """Type a block into a shell; the page of the annotator is answered and stopped."""
        if 'tools/annotate.py' in code:
            line, = (line for line in code.splitlines() if line)
            person, count = self.answer_on_the_page(line, self.label)
            self.clicked[person.package['round']] = count
            return
        if 'annotations.xml' in code or '.zip' in code:
            self.answer_in_cvat()
        self.shell(re.sub(r'^(python \S+/make_minidrive\.py.*)$', rf'\1{SMALL_DATA}', code, flags=re.MULTILINE))

    def save(self, name, content):
        """Save a block; a config gets smaller."""
        (self.root / name).write_text(content + (SMALL_CONFIG if '_base_' in content else ''), encoding='utf-8')

    def answer_in_cvat(self):
        """Give every shape of the export its class and save the task as CVAT does, as an archive."""
        exported, classes = self.root / 'to_cvat' / 'annotations.xml', get_class_set('cityscapes19').classes
        tree, count = ElementTree.parse(exported), 0
        for image in tree.getroot().iter('image'):
            label = self.label(image.get('name'))
            for shape in image.iter('points'):
                x, y = (int(float(value)) for value in shape.get('points').split(','))
                value = int(label[y, x])
                assert shape.get('label') == '?'
                shape.set('label', 'unsure' if value >= VOID else classes[value])
                count += 1
        self.clicked[3] = count
        with zipfile.ZipFile(self.root / 'from_cvat.zip', 'w') as archive:
            archive.writestr('annotations.xml', ElementTree.tostring(tree.getroot()))

    def said(self, part):
        """What the commands that hold these words printed."""
        return [output for code, output in self.output if part in code]


@pytest.fixture(scope='module')
def street(tmp_path_factory, shell_environment):
    """The folder after everything on the page was done."""
    for module in ('flask', 'waitress'):
        pytest.importorskip(module, reason=f'the annotator page needs {module}; install requirements/test.txt')
    environment = {name: value for name, value in shell_environment.items() if name != 'UDATOOLS_MINIDRIVE'}
    street = Street(tmp_path_factory.mktemp('clone'), dict(environment, OMP_NUM_THREADS='1'))
    for kind, content in steps():
        street.run(content) if kind == 'bash' else street.save(*content)
    street.run_dir = street.root / 'work_dirs' / 'my_street'
    return street


def rows(text, first):
    """Rows of a printed table by their first word."""
    return {line.split()[0]: line.split() for line in text[text.index(first):].splitlines() if line.split()}


@pytest.mark.slow
def test_the_run_waits_for_people_after_every_question(street):
    trained = street.said('tools/train.py my_street.py')
    assert len(trained) == 5  # --dry-run, the start, and once after each round
    for number, output in enumerate(trained[1:4], 1):
        assert f'Round {number} waits for people: {street.clicked[number]} of {street.clicked[number]} points' in output
        assert f'python tools/annotate.py work_dirs/my_street/requests/round_{number}' in output
        assert 'python tools/train.py my_street.py --resume' in output
    assert 'waits for people' not in trained[4]


@pytest.mark.slow
def test_every_answer_is_imported_and_200_clicks_are_spent_to_the_last(street):
    assert set(street.clicked) == {1, 2, 3} and all(street.clicked.values())
    for number, output in enumerate(street.said('tools/active/import_answers.py'), 1):
        count = street.clicked[number]
        assert f'Round {number}: {count} of {count} points in the ledger are answered' in output
    with LabelLedger(street.run_dir / 'ledger.sqlite', read_only=True) as ledger:
        assert ledger.budget() == ('clicks', 200)
        assert ledger.spent()['clicks'] == ledger.spent()['points'] == sum(street.clicked.values()) == 200
        assert ledger.spent(annotator='anna')['clicks'] == street.clicked[1] + street.clicked[2]
        assert ledger.spent(annotator='ben')['clicks'] == street.clicked[3]
        asked = {key: ledger.label(key) for key in ledger.spent_by_image('clicks')}
    for key, answer in asked.items():
        truth = street.label(f'{key}.png')
        given = answer != 255
        assert given.any() and ((answer == truth) | ((answer == VOID) & (truth == 255)))[given].all()


@pytest.mark.slow
def test_it_ends_with_a_model_and_the_three_tables(street):
    assert (street.run_dir / 'final' / 'model.pth').is_file() and (street.run_dir / 'report' / 'index.html').is_file()
    stages = ['source', 'warmup', 'round1_main', 'round2_main', 'round3_main']
    results = json.loads((street.run_dir / 'results.json').read_text(encoding='utf-8'))
    assert [stage['name'] for stage in results['stages']] == stages
    of_the_run = rows(street.said('tools/train.py my_street.py --resume')[-1], 'stage ')
    assert [name for name in of_the_run if name in stages] == stages
    total = sum(street.clicked.values())
    status, = street.said('tools/active/status.py')
    assert f'Budget: 200 clicks; {total} spent, {200 - total} left.' in status
    assert rows(status, 'unit ')['points'][:2] == ['points', str(total)]
    campaign, = street.said('tools/active/campaign.py')
    assert rows(campaign, 'run ')['my_street'][1] == '3' and str(total) in rows(campaign, 'run ')['my_street']
    assert os.path.isfile(street.root / re.search(r'page: (\S+)', campaign)[1])


@pytest.mark.slow
def test_the_model_is_looked_at(street):
    metrics = json.loads((street.run_dir / 'final' / 'test' / 'metrics.json').read_text(encoding='utf-8'))
    results = json.loads((street.run_dir / 'results.json').read_text(encoding='utf-8'))
    assert metrics['mIoU'] == pytest.approx(results['stages'][-1]['metrics']['mIoU'], abs=0.01)
    pictures = sorted(street.root.glob('*_labels.png'))
    assert pictures and all(cv2.imread(str(path)).shape[:2] == (32, 128) for path in pictures)


def test_what_the_text_names_is_what_runs():
    """Commands inside sentences are those of the blocks, up to the number of the round; the config is what it says."""
    run = {re.sub(r'round_\d', 'round_N', line) for kind, content in steps() if kind == 'bash' for line in content.splitlines()}
    inline = re.findall(r'`(python [^`]+)`', prose(PAGE))
    assert inline
    for command in inline:
        assert re.sub(r'round_\d', 'round_N', command) in run, command


def test_the_config_of_the_page_asks_people_for_200_clicks(tmp_path):
    content = dict(saved for kind, saved in steps() if kind == 'save')['my_street.py']
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    (tmp_path / 'my_street.py').write_text(content, encoding='utf-8')
    cfg = Config.fromfile(tmp_path / 'my_street.py')
    assert cfg.labor.annotator == dict(type='HumanAnnotator') and cfg.labor.budget == dict(unit='clicks', amount=200)
    assert cfg.labor.selector.type == 'LabORPPLSelector' and cfg.labor.rounds == 3
    assert cfg.folders.target_labels is None  # nobody says where the answers would be
