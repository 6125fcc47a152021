# SPDX-License-Identifier: Apache-2.0
"""tools/eval_vpq.py on files as the release of Cityscapes-VPS and other tools write them."""
import json
import shutil

import cv2
import numpy as np
import pytest
from literal_vpq import literal_vpq

from udatools.evaluation import Protocol, get_protocol
from udatools.evaluation.vpq_files import score_files

CATEGORIES = [dict(id=0, name='road', isthing=0), dict(id=8, name='vegetation', isthing=0), dict(id=11, name='person', isthing=1),
              dict(id=12, name='rider', isthing=1), dict(id=13, name='car', isthing=1)]
CLASS_OF = {one['id']: i for i, one in enumerate(CATEGORIES)}
CLIPS = {'0005': ('frankfurt_000000', (294, 299, 304, 309, 314)), '0010': ('munster_000001', (4, 9))}


@pytest.fixture(scope='module')
def tool(load_tool):
    """Function: the tool's ``main``."""
    module = load_tool('eval_vpq.py')
    return lambda *args: module.main([str(arg) for arg in args])


def png(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.stack([ids // 65536, ids // 256 % 256, ids % 256], -1).astype(np.uint8))


def frames():
    """Ids and tables of every frame: (clip, name, gt, table, prediction, table); categories, not classes, in the tables."""
    rng = np.random.default_rng(5)
    table = {8405120: (0, False), 2330219: (8, False), 60: (11, False), 59: (11, True), 255: (12, False), 142: (13, False),
             65678: (13, False)}
    guess = {number: (category, False) for number, (category, _) in table.items()}
    guess[65678] = (11, False)
    found = []
    for clip, (name, numbers) in CLIPS.items():
        pattern = rng.choice([0, *table], (4, 6)).repeat(3, 0).repeat(3, 1)
        for i, number in enumerate(numbers):
            gt = np.roll(pattern, i, axis=1)
            pred = np.where(rng.random(gt.shape) < 0.2, rng.choice(list(table), gt.shape), np.roll(pattern, i, axis=1))
            found.append((clip, f'{clip}_{i:04d}_{name}_{number:06d}', gt, table, pred, guess))
    return found


def segments_info(ids, table):
    return [dict(id=number, category_id=category, iscrowd=int(crowd), area=0, bbox=[0, 0, 0, 0])
            for number, (category, crowd) in table.items() if (ids == number).any()]


def write_release(root):
    """Ground truth as the release has it, and predictions with nothing but what must be there."""
    truth, guess, images = [], [], []
    for _, name, gt, table, pred, guessed in frames():
        images.append(dict(id=name, file_name=f'{name}_newImg8bit.png', width=gt.shape[1], height=gt.shape[0]))
        truth.append(dict(image_id=name, file_name=f'{name}_final_mask.png', segments_info=segments_info(gt, table)))
        guess.append(dict(image_id=name, file_name=f'{name}.png', segments_info=segments_info(pred, guessed)))
        png(root / 'vps' / 'val' / 'panoptic_video' / f'{name}_final_mask.png', gt)
        png(root / 'run' / 'pan_pred' / f'{name}.png', pred)
    content = dict(images=images, annotations=truth, categories=CATEGORIES)
    (root / 'vps' / 'panoptic_gt_val_city_vps.json').write_text(json.dumps(content))
    (root / 'run' / 'pred.json').write_text(json.dumps(dict(annotations=guess)))
    return root / 'vps' / 'panoptic_gt_val_city_vps.json', root / 'run' / 'pred.json'


@pytest.fixture(scope='module')
def release(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp('release'))


@pytest.fixture
def copy(release, tmp_path):
    """A private copy: (ground truth JSON, prediction JSON)."""
    shutil.copytree(release[0].parent, tmp_path / 'vps')
    shutil.copytree(release[1].parent, tmp_path / 'run')
    return tmp_path / 'vps' / release[0].name, tmp_path / 'run' / 'pred.json'


def expected_counts():
    """The literal evaluation, summed over clips."""
    total = None
    for clip in CLIPS:
        _, _, gt, table, pred, guess = zip(*(one for one in frames() if one[0] == clip))
        tables = [[{number: (CLASS_OF[category], crowd) for number, (category, crowd) in one.items()} for one in side]
                  for side in (table, guess)]
        found = np.array(literal_vpq(gt, pred, *tables, len(CATEGORIES), (1, 2, 3, 4)))  # (windows, 4, classes)
        total = found if total is None else total + found
    return total


def test_the_release_against_the_literal_evaluation(tool, release, tmp_path, capsys):
    out = tmp_path / 'vpq.json'
    assert tool(*release, '--nproc', 1, '--json', out) == 0
    said, content = capsys.readouterr().out, json.loads(out.read_text())
    expected = expected_counts()
    for w, length in enumerate('1234'):
        for c, category in enumerate(CATEGORIES):
            found = content['counts'][category['name']][length]
            assert [found['iou_sum'], found['tp'], found['fp'], found['fn']] == pytest.approx(expected[w, :, c])
    pq = 100 * expected[:, 0] / (expected[:, 1] + expected[:, 2] / 2 + expected[:, 3] / 2)
    assert content['metrics']['VPQ'] == pytest.approx(pq.mean())
    assert content['metrics']['VPQ_things'] == pytest.approx(pq[:, 2:].mean())
    assert content['metrics']['VPQ_stuff'] == pytest.approx(pq[:, :2].mean())
    assert (content['metric'], content['protocol'], content['clips'], content['frames']) == ('VPQ', 'categories', 2, 7)
    assert content['windows'] == {'1': 7, '2': 5, '3': 3, '4': 2}
    assert 'VPQ, protocol categories, 2 clips, 7 labelled frames, percent' in said
    assert f'things: {pq[:, 2:].mean():.2f}, stuff: {pq[:, :2].mean():.2f}' in said


def test_processes_change_nothing_and_folders_are_found(tool, release, tmp_path):
    for nproc, name in ((1, 'one'), (2, 'two')):
        assert tool(release[0].parent, release[1].parent, '--nproc', nproc, '--json', tmp_path / name) == 0
    assert (tmp_path / 'one').read_bytes() == (tmp_path / 'two').read_bytes()


def test_ground_truth_scores_100_and_frames_that_are_not_labelled_are_not_read(tool, copy, capsys):
    gt, pred = copy
    content = json.loads(gt.read_text())
    content['annotations'].append(dict(image_id='0005_0009_frankfurt_000000_000330', segments_info=[]))  # has no PNG
    pred.write_text(json.dumps(content))
    assert tool(gt, pred, '--pred-png', gt.parent / 'val' / 'panoptic_video', '--nproc', 1) == 0
    said = capsys.readouterr().out
    assert 'mean        100.00  100.00' in said and '1 predicted frames are not labelled' in said


def test_panoptic_sets_are_joined_by_image_id(tool, copy, tmp_path):
    """Numbers for ids, and predictions whose names tell nothing: their frame numbers run backwards."""
    gt, pred = copy
    truth, guess = json.loads(gt.read_text()), json.loads(pred.read_text())
    assert tool(gt, pred, '--nproc', 1, '--json', tmp_path / 'before.json') == 0
    count = len(truth['images'])
    for i, (image, one, other) in enumerate(zip(truth['images'], truth['annotations'], guess['annotations'])):
        image['id'] = one['image_id'] = other['image_id'] = i
        path = pred.parent / 'pan_pred' / other['file_name']
        other['file_name'] = f'out_{count - i}.png'
        path.rename(path.with_name(other['file_name']))
    gt.write_text(json.dumps(truth))
    pred.write_text(json.dumps(guess))
    assert tool(gt, pred, '--nproc', 1, '--json', tmp_path / 'after.json') == 0
    assert (tmp_path / 'before.json').read_bytes() == (tmp_path / 'after.json').read_bytes()


def semantic(root, classes, suffix='', truth=False):
    """Train ids of the predictions (or the ground truth), in folders of clips or with the names of the release."""
    for clip, name, gt, table, pred, guess in frames():
        ids, meaning = (gt, table) if truth else (pred, guess)
        label = np.full(ids.shape, 255, np.uint8)
        for number, (category, _) in meaning.items():
            label[ids == number] = classes.index(CATEGORIES[CLASS_OF[category]]['name'])
        path = root / (f'{name}{suffix}.png' if suffix else f'{clip}/{name[-6:]}.png')
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), label)


@pytest.mark.parametrize('suffix', ['', '_newImg8bit'])
def test_semantic_pngs_score_what_panoptic_ones_do(release, tmp_path, suffix):
    protocol = dict(name='own', classes=['road', 'vegetation', 'person', 'car'])
    classes = get_protocol('cityscapes19').classes
    semantic(tmp_path / 'labels', classes, suffix)
    semantic(tmp_path / 'truth', classes, truth=True)  # a crowd is its class here
    pairs = [(tmp_path / 'truth', tmp_path / 'labels'), release] + ([] if suffix == '' else [(release[0], tmp_path / 'labels')])
    both = [score_files(gt, pred, semantic=True, protocol=protocol).stats for gt, pred in pairs]
    for name in ('iou', 'tp', 'fp', 'fn'):
        for one in both[1:]:
            np.testing.assert_array_equal(getattr(both[0], name), getattr(one, name))
    assert both[0].tp.sum() > 0 and both[0].fp.sum() > 0 and both[0].iou.shape == (4, 4)
    same = score_files(tmp_path / 'labels', tmp_path / 'labels', semantic=True)
    assert same.stats.pq()[:, 13].tolist() == [1.0] * 4 and same.protocol.name == 'cityscapes19' and same.things is None


def test_predictions_may_have_other_train_ids(release, tool, tmp_path, capsys):
    protocol = dict(name='own', classes=['road', 'vegetation', 'person', 'car'])
    classes = get_protocol('cityscapes19').classes
    other = dict(name='reversed', classes=list(reversed(classes)))
    semantic(tmp_path / 'truth', classes, truth=True)
    semantic(tmp_path / 'labels', classes)
    semantic(tmp_path / 'out' / 'ids', other['classes'])
    expected = score_files(tmp_path / 'truth', tmp_path / 'labels', semantic=True, protocol=protocol).stats
    (tmp_path / 'out' / 'predictions.json').write_text('{"classes": 15}')  # of some other tool
    for options in (dict(pred_classes=other), {}):
        found = score_files(tmp_path / 'truth', tmp_path / 'out' / 'ids', semantic=True, protocol=protocol, **options).stats
        assert np.array_equal(found.tp, expected.tp) and np.array_equal(found.iou, expected.iou) and found.tp.sum() > 0
        (tmp_path / 'out' / 'predictions.json').write_text(json.dumps(dict(classes=other['classes'])))
    check(tool, capsys, 'leave --pred-classes out', tmp_path / 'truth', tmp_path / 'out' / 'ids', '--semantic', '--pred-classes',
          'camvid11')


def test_a_protocol_merges_stuff_but_not_things(release, monkeypatch):
    """Under one class, two stuff segments of a frame are one tube; persons and cars keep their ids."""
    crowd = {59}
    for names, merged in ((('road', 'vegetation'), True), (('person', 'rider', 'car'), False)):
        own = Protocol('own', '', {'one': names})
        monkeypatch.setattr('udatools.evaluation.vpq_files.get_protocol', lambda _, own=own: own)
        stats = score_files(release[0], release[0], protocol='own', windows=(1, )).stats
        ids = [{number for number, (category, _) in table.items()
                if (gt == number).any() and CATEGORIES[CLASS_OF[category]]['name'] in names} - crowd
               for _, _, gt, table, _, _ in frames()]
        assert stats.fp.sum() == stats.fn.sum() == 0 and stats.iou.sum() == stats.tp.sum()
        assert stats.tp.sum() == sum(min(len(one), 1) if merged else len(one) for one in ids)
        assert any(len(one) > 1 for one in ids)


def check(tool, capsys, message, *args):
    assert tool(*args, '--nproc', 2) == 1
    said = capsys.readouterr().err
    assert message in said and 'Traceback' not in said, said


def test_errors_name_the_file(tool, copy, tmp_path, capsys):
    gt, pred = copy
    first = frames()[0][1]
    target = pred.parent / 'pan_pred' / f'{frames()[1][1]}.png'
    ids = cv2.imread(str(target), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(target), ids[:4])
    check(tool, capsys, f'cannot score {target} against', gt, pred)
    ids[0, 0] = (9, 9, 9)
    cv2.imwrite(str(target), ids)
    check(tool, capsys, 'prediction: ids 592137 are in the label map', gt, pred)
    target.unlink()
    check(tool, capsys, f'predictions are missing for 1 of 7 labelled frames, the first: {target}', gt, pred)
    content = json.loads(pred.read_text())
    (pred.parent / 'short.json').write_text(json.dumps(dict(content, annotations=content['annotations'][1:])))
    check(tool, capsys, "the first: frame 294 of clip '0005'", gt, pred.parent / 'short.json')
    check(tool, capsys, 'holds 2 JSON files', gt, pred.parent)
    content['annotations'][0]['segments_info'] = [dict(id=1, category_id=99)]
    pred.write_text(json.dumps(content))
    check(tool, capsys, f'{first}.png: segment 1 has category_id 99; the set has the categories 0, 8, 11, 12, 13', gt, pred)
    content['annotations'][0]['segments_info'] = [dict(id=1, category_id=0)] * 2
    pred.write_text(json.dumps(content))
    check(tool, capsys, 'lists the id 1 twice', gt, pred)
    pred.write_text(json.dumps(dict(content, categories=[dict(CATEGORIES[0], name='car')])))
    check(tool, capsys, "category 0 is 'car' in", gt, pred)


def test_errors_of_the_command_line(tool, release, tmp_path, capsys):
    check(tool, capsys, f'{tmp_path} holds no panoptic JSON, which VPQ needs; semantic label maps are scored by VPQ^s',
          release[0], tmp_path)
    check(tool, capsys, 'nowhere does not exist', release[0], tmp_path / 'nowhere')
    check(tool, capsys, "the protocol 'none'; choose one of", *release, '--protocol', 'none')
    check(tool, capsys, 'lacks', *release, '--protocol', 'cityscapes19')
    check(tool, capsys, 'lacks the groups', *release, '--clip-pattern', '(.*)')
    check(tool, capsys, 'windows', *release, '--windows', 0)
    with pytest.raises(SystemExit):
        tool(*release, '--nproc', 0)


def test_semantic_errors(tool, tmp_path, capsys):
    (tmp_path / 'labels').mkdir()
    check(tool, capsys, 'holds no PNG', tmp_path / 'labels', tmp_path / 'labels', '--semantic')
    for name in ('a_1.png', 'a_01.png'):
        cv2.imwrite(str(tmp_path / 'labels' / name), np.zeros((2, 2), np.uint8))
    check(tool, capsys, "are both frame 1 of clip 'a'", tmp_path / 'labels', tmp_path / 'labels', '--semantic')
    (tmp_path / 'labels' / 'a_01.png').unlink()
    cv2.imwrite(str(tmp_path / 'labels' / 'a_1.png'), np.full((2, 2), 77, np.uint8))
    check(tool, capsys, 'ids 77 are', tmp_path / 'labels', tmp_path / 'labels', '--semantic')
    cv2.imwrite(str(tmp_path / 'labels' / 'a_1.png'), np.zeros((2, 2, 3), np.uint8))
    check(tool, capsys, 'has 3 channels; expected one channel', tmp_path / 'labels', tmp_path / 'labels', '--semantic')
