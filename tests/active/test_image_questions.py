# SPDX-License-Identifier: Apache-2.0
"""Questions about whole images: tags, and one point of each class, from selection over oracle and ledger to files."""
import json
import sqlite3

import cv2
import numpy as np
import pytest

from udatools.active import (
    Answer,
    Budget,
    CostModel,
    EntropySelector,
    FilteredSelector,
    GroundTruthOracle,
    HumanAnnotator,
    ImageQuestionSelector,
    LabelLedger,
    LedgerError,
    Limits,
    Request,
)
from udatools.active.annotators.human import describe_waiting
from udatools.active.exporting import export_request
from udatools.active.image_questions import check_tags, merge_tags
from udatools.active.importing import import_answers
from udatools.active.package_files import Package
from udatools.active.progress import request_progress

TAGS, POINTS = ImageQuestionSelector('tags'), ImageQuestionSelector('class_points')
KEYS = ['city_b/frame_0', 'city_a/frame_1', 'city_a/frame_0', 'city_c/frame_0', 'city_b/frame_1']
EMPTY = np.full((12, 17), 255, np.uint8)


@pytest.fixture
def few_classes(campaign):
    """The campaign with classes 0, 1 and 2 in turn missing in its images; the last one is all ignore."""
    for missing, key in enumerate(KEYS[:3]):
        campaign.dataset.truth[key][campaign.dataset.truth[key] == missing] = 255
    campaign.dataset.truth[KEYS[4]][:] = 255
    return campaign


def present(campaign, key):
    return sorted(set(campaign.dataset.truth[key].ravel().tolist()) - {255})


def open_ledger(root):
    return LabelLedger(root / 'ledger.sqlite')


def test_one_point_of_each_class_and_nothing_else(few_classes, tmp_path):
    result = few_classes.ask(tmp_path, selector=POINTS, num_rounds=1)
    assert all(names == ('image', ) or names == ('prob', ) for _, names in few_classes.calls)  # no model chooses
    total = 0
    for key in KEYS:
        label = cv2.imread(str(tmp_path / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        truth = few_classes.dataset.truth[key]
        assert sorted(label[label != 255].tolist()) == present(few_classes, key)
        assert np.array_equal(label[label != 255], truth[label != 255])
        total += len(present(few_classes, key))
    assert total == 2 + 2 + 2 + 3 + 0
    spent = result.spent
    assert (spent['pixels'], spent['points'], spent['clicks'], spent['components']) == (9, 9, 9, 4)
    assert spent['seconds'] == pytest.approx(9 * 2.4 + 6 * 1.0)  # 5 images of 3 classes: 9 found, 6 looked for in vain
    header = result.request.header
    assert header['kind'] == 'class_points' and [item.asked for item in result.request.items] == [3] * 5


def test_points_are_drawn_and_stay_the_same(few_classes, tmp_path):
    """By (seed, request, image, person): not all the first pixel of their class, and the same whatever came before."""
    first_pixel, labels = 0, []
    for folder, oracle in (('one', few_classes.oracle), ('two', few_classes.oracle),
                           ('three', GroundTruthOracle(few_classes.dataset, seed=1))):
        few_classes.ask(tmp_path / folder, selector=POINTS, num_rounds=1, annotator=oracle)
        with open_ledger(tmp_path / folder) as ledger:
            labels.append([ledger.label(key) for key in KEYS])
    for key, label in zip(KEYS, labels[0]):
        first_pixel += sum(np.flatnonzero(label == c)[0] == np.flatnonzero(few_classes.dataset.truth[key] == c)[0]
                           for c in present(few_classes, key))
    assert first_pixel < 5
    assert all(map(np.array_equal, labels[0], labels[1])) and not all(map(np.array_equal, labels[0], labels[2]))


def test_tags_are_the_classes_of_the_image_and_label_no_pixel(few_classes, tmp_path):
    result = few_classes.ask(tmp_path, selector=TAGS, num_rounds=1)
    with open_ledger(tmp_path) as ledger:
        assert [sorted(ledger.tags(key)) for key in KEYS] == [present(few_classes, key) for key in KEYS]
        assert ledger.tags(KEYS[4]) == frozenset() and ledger.tags('elsewhere') is None
        assert all((ledger.label(key) == 255).all() for key in KEYS) and ledger.class_histogram() == {}
    spent = result.spent
    assert (spent['pixels'], spent['points'], spent['clicks'], spent['components']) == (0, 0, 9, 5)
    assert spent['seconds'] == pytest.approx(5 * 3 * 1.0)
    assert all((cv2.imread(str(tmp_path / 'labels' / f'{key}.png'), 0) == 255).all() for key in KEYS)


def test_points_are_tags_too(few_classes, tmp_path):
    few_classes.ask(tmp_path, selector=POINTS, num_rounds=1)
    with open_ledger(tmp_path) as ledger:
        assert [sorted(ledger.tags(key)) for key in KEYS] == [present(few_classes, key) for key in KEYS]


def test_tag_file_of_the_rounds_so_far(campaign, tmp_path):
    from udatools.active import ask_round
    from udatools.active.round_plan import RoundPlan
    paths = dict(ledger_path=tmp_path / 'ledger.sqlite', label_dir=tmp_path / 'labels', tag_file=tmp_path / 'tags.json')
    for number in (1, 2):
        plan = RoundPlan(number, 2, budget=Budget('regions', amount=4, per_round='equal_rest'))
        ask_round(plan, campaign.target, campaign.predict, TAGS, campaign.oracle, request_dir=tmp_path / str(number), **paths)
        written = json.loads((tmp_path / 'tags.json').read_text())
        assert written['classes'] == ['road', 'car', 'sky'] and len(written['images']) == 2 * number
        assert all(tags == present(campaign, key) for key, tags in written['images'].items())
    # Round 1 again, which was trained on two images.
    plan = RoundPlan(1, 2, budget=Budget('regions', amount=4, per_round='equal_rest'))
    ask_round(plan, campaign.target, campaign.predict, TAGS, campaign.oracle, request_dir=tmp_path / '1', **paths)
    assert len(json.loads((tmp_path / 'tags.json').read_text())['images']) == 2


@pytest.mark.parametrize('budget, images', [
    (Budget('clicks', amount=8), 2),  # a plan has 3 clicks an image, all classes
    (Budget('points', amount=3), 1),
    (Budget('regions', amount=4), 4),  # images
    (Budget('seconds', amount=15), 2),  # 3 * 2.4 an image
    (Budget('clicks', amount=2, per='image'), 0),
    (Budget('clicks', amount=3, per='image'), 5)])
def test_budgets_plan_with_all_classes(campaign, tmp_path, budget, images):
    result = campaign.ask(tmp_path, selector=POINTS, budget=budget, num_rounds=1)
    assert len(result.request.asked_keys()) == images == result.spent['images']
    planned = result.request.header['budget']['planned']
    assert result.spent[dict(regions='components').get(budget.unit, budget.unit)] <= planned
    assert planned <= (budget.amount if budget.per == 'set' else 15)


def test_a_budget_is_kept_when_people_use_more(campaign, make_answer, tmp_path):
    campaign.ask(tmp_path, selector=POINTS, annotator=HumanAnnotator(), budget=Budget('clicks', amount=6), num_rounds=1)
    request = Request.load(tmp_path / 'requests' / 'round_1')
    key, other = request.asked_keys()
    points = EMPTY.copy()
    points[0, :5] = [0, 1, 2, 0, 1]
    with open_ledger(tmp_path) as ledger:
        summary = ledger.record(request, [make_answer(key, points, clicks=5), make_answer(other, points, clicks=5)],
                                within_budget=True)
        assert [outcome.status for outcome in summary.outcomes] == ['recorded', 'over budget']


def test_pixels_of_the_budget_and_filters_do_not_fit(campaign, tmp_path):
    with pytest.raises(ValueError, match='asks whole images .tags., which are not answered by pixels'):
        campaign.ask(tmp_path, selector=TAGS, budget=Budget(portion=0.1))
    with pytest.raises(ValueError, match='the selector asks for tags; choose a selector of'):
        campaign.ask(tmp_path, selector=TAGS, budget=Budget('points', amount=3))
    with pytest.raises(ValueError, match='without a FilteredSelector'):
        FilteredSelector(TAGS, border=2)
    with pytest.raises(ValueError, match='kind is .points.; expected one of'):
        ImageQuestionSelector('points')


def test_an_image_is_asked_once_and_later_points_lie_elsewhere(campaign, tmp_path):
    first = campaign.ask(tmp_path, 1, selector=POINTS, budget=Budget('regions', amount=5, per_round='equal_rest'))
    second = campaign.ask(tmp_path, 2, selector=POINTS, budget=Budget('regions', amount=5, per_round='equal_rest'))
    third = campaign.ask(tmp_path, 3, selector=POINTS, budget=Budget('regions', amount=5, per_round='equal_rest'))
    keys = [key for result in (first, second, third) for key in result.request.asked_keys()]
    assert sorted(keys) == sorted(KEYS) and len(first.request.asked_keys()) == 1
    # After points of a model, a person may point anywhere but there.
    other = tmp_path / 'other'
    campaign.ask(other, 1, selector=EntropySelector(0.1))
    mixed = campaign.ask(other, 2, selector=POINTS)
    with open_ledger(other) as ledger:
        for key in KEYS:
            answered = ledger.answered_mask(key, before_round=2)
            assert np.array_equal(mixed.request.regions(key) > 0, ~answered)
            assert sorted(ledger.tags(key)) == present(campaign, key)


def test_a_round_is_the_same_again_and_continues_after_a_kill(campaign, tmp_path, tree):
    campaign.ask(tmp_path / 'whole', selector=POINTS, num_rounds=1)

    class Tired(GroundTruthOracle):
        def _truth(self, key, *args):
            if key == KEYS[3]:
                raise KeyboardInterrupt
            return super()._truth(key, *args)

    with pytest.raises(KeyboardInterrupt):
        campaign.ask(tmp_path / 'cut', selector=POINTS, num_rounds=1, annotator=Tired(campaign.dataset))
    campaign.ask(tmp_path / 'cut', selector=POINTS, num_rounds=1)
    again = campaign.ask(tmp_path / 'cut', selector=POINTS, num_rounds=1)
    assert not again.selected
    for folder in ('requests', 'labels'):
        assert tree(tmp_path / 'whole' / folder) == tree(tmp_path / 'cut' / folder)
    with open_ledger(tmp_path / 'whole') as one, open_ledger(tmp_path / 'cut') as other:
        assert one.content_digest() == other.content_digest()


def test_people_who_err_skip_and_share_the_work(few_classes, tmp_path):
    few_classes.ask(tmp_path / 'skip', selector=TAGS, num_rounds=1, annotator=GroundTruthOracle(few_classes.dataset, skip_rate=1))
    few_classes.ask(tmp_path / 'noise', selector=POINTS, num_rounds=1,
                    annotator=GroundTruthOracle(few_classes.dataset, label_noise=1))
    few_classes.ask(tmp_path / 'split', selector=TAGS, num_rounds=1,
                    annotator=GroundTruthOracle(few_classes.dataset, annotators=2, assignment='split', seed=3))
    with open_ledger(tmp_path / 'skip') as ledger:
        assert [ledger.tags(key) for key in KEYS] == [frozenset()] * 5
        assert ledger.spent()['clicks'] == 0 and ledger.spent()['seconds'] == 15  # looked for everything
    with open_ledger(tmp_path / 'noise') as ledger:
        label, truth = ledger.label(KEYS[3]), few_classes.dataset.truth[KEYS[3]]
        assert (label[label != 255] != truth[label != 255]).all() and (label != 255).sum() == 3
    with open_ledger(tmp_path / 'split') as ledger:
        assert [sorted(ledger.tags(key)) for key in KEYS] == [present(few_classes, key) for key in KEYS]
        rows = list(ledger.rows())
        assert {row['annotator'] for row in rows if row['tags'] is not None} == {'oracle_1', 'oracle_2'}
        assert sum(row['tags'] is not None for row in rows) == 5 and ledger.spent()['clicks'] == 9


@pytest.fixture
def asked(campaign, tmp_path):
    """Function: a waiting round of a kind, as a package with its run."""
    def ask(selector):
        campaign.ask(tmp_path, selector=selector, annotator=HumanAnnotator(), num_rounds=1)
        return Package(tmp_path, Request.load(tmp_path / 'requests' / 'round_1'))
    return ask


def tag_answer(key, tags, annotator='anna', **costs):
    return Answer(key, EMPTY, annotator, 'test', tags=tags, **costs)


def test_tags_of_several_people_and_corrections(asked):
    package = asked(TAGS)
    request = package.request
    with LabelLedger(package.ledger_path) as ledger:
        outcomes = [ledger.record(request, [answer]).outcomes[0] for answer in (
            tag_answer(KEYS[0], (0, 1), clicks=2, seconds=5), tag_answer(KEYS[0], (0, 1), clicks=2, seconds=5),
            tag_answer(KEYS[0], (1, 2), 'bob', clicks=2), tag_answer(KEYS[0], (0, ), clicks=3, seconds=7))]
        assert [o.status for o in outcomes] == ['recorded', 'known', 'recorded', 'recorded']
        assert [(o.components, o.overlap, o.conflicts, o.corrections) for o in outcomes] == [
            (1, 0, 0, 0), (0, 0, 0, 0), (0, 1, 2, 0), (0, 0, 3, 1)]
        assert ledger.spent()['clicks'] == 2 + 2 + 1 and ledger.spent()['seconds'] == 7 and ledger.spent()['components'] == 1
        assert ledger.tags(KEYS[0]) == {0}  # of anna, who was first, her latest
        progress = request_progress(ledger, request)
        assert (progress.unit, progress.asked, progress.answered, progress.done) == ('images', 5, 1, 1)
        for policy, tags in (('last', {0}), ('majority', set())):
            ledger.open_campaign(ledger.settings(), policy=policy)
            assert ledger.tags(KEYS[0]) == tags
        ledger.record(request, [tag_answer(KEYS[0], (0, 2), 'carl')])
        assert ledger.tags(KEYS[0]) == {0, 2}  # anna 0, bob 1 2, carl 0 2


def test_of_several_rounds_the_latest_holds(asked):
    package = asked(TAGS)
    again = Request(package.request.root, dict(package.request.header, round=2, request_id='2' * 64), package.request.items)
    with LabelLedger(package.ledger_path) as ledger:
        ledger.record(package.request, [tag_answer(KEYS[0], (0, 1)), tag_answer(KEYS[1], (1, ))])
        ledger.add_request(again)
        ledger.record(again, [tag_answer(KEYS[0], (2, ), 'bob')])
        assert (ledger.tags(KEYS[0]), ledger.tags(KEYS[1])) == ({2}, {1})
        assert ledger.tags(KEYS[0], before_round=2) == ledger.tags(KEYS[0], round=1) == {0, 1}


def test_what_answers_no_question_is_refused(asked, make_answer):
    package = asked(TAGS)
    with LabelLedger(package.ledger_path) as ledger:
        for answer, match in ((tag_answer(KEYS[0], (3, )), r'tags are \[3\]; expected class ids 0..2'),
                              (make_answer(KEYS[0], EMPTY - 255), 'holds labelled pixels'),):
            with pytest.raises(LedgerError, match=match):
                ledger.record(package.request, [answer])
        assert ledger.spent()['images'] == 0


def test_tags_do_not_answer_pixels(asked):
    package = asked(POINTS)
    with LabelLedger(package.ledger_path) as ledger, pytest.raises(LedgerError, match='asks for class_points'):
        ledger.record(package.request, [tag_answer(KEYS[0], (1, ))])


def test_a_ledger_without_tags_is_read_and_extended(asked, make_request, make_answer, tmp_path):
    old = tmp_path / 'old.sqlite'
    request = make_request({'a': np.ones((2, 3), bool)})
    with LabelLedger(old) as ledger:
        ledger.add_request(request)
        ledger.record(request, [make_answer('a', np.ones((2, 3)))])
        digest = ledger.content_digest()
    with sqlite3.connect(old) as db:
        db.executescript('ALTER TABLE entries DROP COLUMN tags; PRAGMA user_version = 3')
    db.close()
    with LabelLedger(old, read_only=True) as ledger:
        assert ledger.content_digest() == digest and ledger.tags('a') is None and next(ledger.rows())['tags'] is None
    images = asked(TAGS).request
    with LabelLedger(old) as ledger:
        ledger.close_round(request, 'x', 'done', asked=1, answered=1)
        header = dict(images.header, round=2)
        second = Request(images.root, header, images.items)
        ledger.add_request(second)
        ledger.record(second, [tag_answer(KEYS[0], (2, ))])
        assert ledger.tags(KEYS[0]) == {2} and ledger.limits() == Limits() and (ledger.label('a') == 1).all()


def fill(path, rows):
    text = path.read_text()
    for image, name, tail in rows:
        old = next(line for line in text.splitlines() if f',{image}.png,{name},' in line)
        text = text.replace(old, old.rsplit(',', 4)[0] + ',' + tail)
    path.write_text(text)


def test_tables_of_tags_out_and_back(asked, campaign, tmp_path, capsys):
    package = asked(TAGS)
    files, missing = export_request(package.request.root, 'tags', tmp_path / 'out', images=campaign.image_root)
    assert files[0].name == 'tags.csv' and missing == [] and len(files[0].read_text().splitlines()) == 1 + 15
    fill(files[0], [(KEYS[0], 'car', 'yes,,,9.5'), (KEYS[0], 'sky', 'no,,,'), (KEYS[1], 'road', 'No,,,'),
                    (KEYS[2], 'road', 'yes,,,3'), (KEYS[2], 'car', 'maybe,,,')])  # maybe is not no
    report = import_answers(package, [files[0]], who='anna')
    assert [(o.key, o.status, o.clicks, o.seconds) for o in report.outcomes] == [
        (KEYS[0], 'recorded', 1, 9.5), (KEYS[1], 'recorded', 0, 0)]
    assert 'expected yes or no' in report.files[0].problems[0].what and report.progress.answered == 2
    with LabelLedger(package.ledger_path) as ledger:
        assert (ledger.tags(KEYS[0]), ledger.tags(KEYS[1]), ledger.tags(KEYS[2])) == ({1}, frozenset(), None)


def test_tables_of_points_out_and_back(asked, campaign, tmp_path):
    package = asked(POINTS)
    files, _ = export_request(package.request.root, 'tags', tmp_path / 'out', images=campaign.image_root)
    fill(files[0], [(KEYS[0], 'road', ',3,2,4'), (KEYS[0], 'sky', ',16,11,'), (KEYS[1], 'car', ',17,0,'),
                    (KEYS[2], 'road', ',0,0,'), (KEYS[2], 'car', ',1,1,'), (KEYS[2], 'sky', ',1,1,'),
                    (KEYS[3], 'road', ',0,0,'), (KEYS[3], 'car', ',one,1,')])  # nobody said that there is no car
    report = import_answers(package, [files[0]], who='anna')
    problems = ' '.join(problem.what for problem in report.files[0].problems)
    assert 'pixel (17, 0)' in problems and 'two classes' in problems and "'one'" in problems
    outcome, = report.outcomes
    assert (outcome.key, outcome.pixels, outcome.points, outcome.clicks, outcome.seconds) == (KEYS[0], 2, 2, 2, 4)
    with LabelLedger(package.ledger_path) as ledger:
        label = ledger.label(KEYS[0])
        assert (label[2, 3], label[11, 16], ledger.tags(KEYS[0])) == (0, 2, {0, 2})


def test_a_table_of_another_request_and_other_formats_are_refused(asked, campaign, tmp_path):
    package = asked(TAGS)
    files, _ = export_request(package.request.root, 'tags', tmp_path / 'out', images=campaign.image_root)
    files[0].write_text(files[0].read_text().replace(package.request.request_id, 'f' * 64).replace('road,,', 'road,yes,', 1))
    report = import_answers(package, [files[0]], who='anna')
    assert 'it answers request ffffffffffff' in report.files[0].refused
    with pytest.raises(ValueError, match='asks for tags, which format .cvat. .* cannot hold; use tags'):
        export_request(package.request.root, 'cvat', tmp_path / 'cvat', images=campaign.image_root)
    (tmp_path / 'points.csv').write_text('image,x,y,label\n')
    assert 'cannot hold' in import_answers(package, [tmp_path / 'points.csv'], who='anna').files[0].refused


def test_oracles_answers_survive_the_table(few_classes, tmp_path):
    from udatools.active.codecs import CODECS, detect
    for selector in (TAGS, POINTS):
        request = few_classes.ask(tmp_path / selector.kind, selector=selector, num_rounds=1).request
        given = list(few_classes.oracle.answer(request, KEYS))
        file, = CODECS['tags'].write(request, given, tmp_path / selector.kind / 'out')
        assert detect(file) is CODECS['tags'] is detect(file.parent)
        read = {answer.key: answer for answer in CODECS['tags'].read(file, request).answers}
        for answer in given:
            if not answer.is_empty:
                assert np.array_equal(read[answer.key].answer, answer.answer) and read[answer.key].tags == answer.tags


def test_two_files_of_one_person_that_differ(asked, campaign, tmp_path):
    package = asked(TAGS)
    for name, said in (('a', 'yes,,,'), ('b', 'no,,,')):
        files, _ = export_request(package.request.root, 'tags', tmp_path / name, images=campaign.image_root)
        fill(files[0], [(KEYS[0], 'car', said)])
    report = import_answers(package, [tmp_path / 'a' / 'tags.csv', tmp_path / 'b' / 'tags.csv'], who='anna')
    assert report.outcomes == [] and 'the tags are others' in report.problems[0].what


def test_people_are_told_what_works(campaign, tmp_path):
    pending = campaign.ask(tmp_path, selector=TAGS, annotator=HumanAnnotator(), num_rounds=1).pending
    text = describe_waiting(pending)
    assert '5 of 5 images' in text and '--format tags' in text and 'annotate.py' not in text
    from udatools.active.annotator.images import PackageImages
    with pytest.raises(ValueError, match='the page asks about pixels only'):
        PackageImages(Request.load(tmp_path / 'requests' / 'round_1'), campaign.image_root)


def test_costs():
    costs = CostModel()
    assert costs.seconds('tags', 19, 10**6) == 19 and costs.seconds('class_points', 19, 10**6) == pytest.approx(19 * 2.4)
    assert costs.seconds('class_points', 20, 1, found=2) == pytest.approx(18 + 4.8)  # about Bearman's 22.1 s with 1.5 classes
    with pytest.raises(ValueError, match='seconds >= 0'):
        CostModel(tag_seconds=-1)


def test_sets_of_classes():
    assert check_tags([2, 0, 2], 3) == (0, 2) and check_tags([], 3) == ()
    with pytest.raises(ValueError, match='expected class ids 0..2'):
        check_tags([-1], 3)
    said = [('a', frozenset({0, 1})), ('b', frozenset({1})), ('a', frozenset({2})), ('c', frozenset({1, 2}))]
    assert merge_tags(said, 'first') == {2} and merge_tags(said, 'last') == {1, 2} and merge_tags(said, 'majority') == {1, 2}
    assert merge_tags([], 'majority') is None
