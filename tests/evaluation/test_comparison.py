# SPDX-License-Identifier: Apache-2.0
"""The comparison tables, by hand."""
import pytest

from udatools.evaluation.comparison import comparison_rows, format_classes, format_markdown, update_between_markers


def result(seed, protocol='p', cost=None, iou=None, **stages):
    return {'seed': seed, 'protocol': protocol, 'stages': [
        {'name': name, 'metrics': {'mIoU': value, 'IoU': iou or {}}, 'labelled': {'portion': share},
         'cost': {} if cost is None else {
             'device': cost[2], 'train_seconds': 1.0, 'processor_seconds': 1.0, 'peak_memory_bytes': 1,
             'total': {'train_seconds': cost[0], 'processor_seconds': cost[0] ** 2, 'peak_memory_bytes': cost[1]}}}
        for name, (value, share) in stages.items()]}


RUNS = {
    'spl_x': [result(1, warmup=(30.0, 0.0), main=(45.0, 0.024), cost=(30.0, 300, 'cpu')),
              result(0, warmup=(20.0, 0.0), main=(48.0, 0.02), cost=(30.0, 200, 'cpu'))],
    'source_only_x': [result(0, train=(20.0, 0.0), cost=(10.0, 200, 'cpu')),
                      result(1, train=(24.0, 0.0), cost=(20.0, 100, 'cpu'))],
    'supervised_x': [result(0, train=(50.0, 0.0)), result(1, train=(60.0, 0.0))],
}


def test_all_stages_by_hand():
    warmup, main, source_only, supervised = comparison_rows(RUNS, all_stages=True)
    assert [row['stage'] for row in (warmup, main, source_only, supervised)] == ['warmup', 'main', 'train', 'train']
    assert (warmup['mIoU'], warmup['std']) == (25.0, pytest.approx(7.0710678))
    assert main['labelled'] == pytest.approx(2.2)
    assert main['relative'] == pytest.approx((96.0 + 75.0) / 2)  # of the same seed, then the mean
    assert supervised['relative'] == 100.0
    assert list(main['values'].items()) == [(0, 48.0), (1, 45.0)]  # in the order of the seeds
    assert main['gain'] == pytest.approx((28.0 + 21.0) / 2) and warmup['gain'] == pytest.approx(3.0)


def test_last_stage_is_the_default():
    rows = comparison_rows(RUNS)
    assert [(row['run'], row['method'], row['stage']) for row in rows] == [
        ('spl_x', 'spl', 'main'), ('source_only_x', 'source_only', 'train'), ('supervised_x', 'supervised', 'train')]


def test_costs_are_ratios_to_the_baseline_of_the_same_seed():
    spl, source_only, supervised = comparison_rows(RUNS)
    assert spl['time_ratio'] == pytest.approx((900 / 100 + 900 / 400) / 2)  # on a CPU the time of its processors
    assert spl['memory_ratio'] == pytest.approx((1.0 + 3.0) / 2)
    assert (source_only['time_ratio'], source_only['memory_ratio']) == (1.0, 1.0)
    assert (spl['seconds'], spl['memory']) == (30.0, 250.0)
    assert supervised['time_ratio'] is None and supervised['seconds'] is None  # made before costs were written


def test_costs_of_two_devices_are_not_compared():
    runs = {'a_x': [result(0, train=(1.0, 0.0), cost=(5.0, 5, 'H200'))],
            'source_only_x': [result(0, train=(1.0, 0.0), cost=(9.0, 5, 'cpu'))]}
    assert comparison_rows(runs)[0]['time_ratio'] is None and comparison_rows(runs)[0]['seconds'] == 5.0
    runs['source_only_x'][0]['stages'][0]['cost']['device'] = 'H200'
    assert comparison_rows(runs)[0]['time_ratio'] == pytest.approx(5 / 9)  # on a GPU that on the wall


def video(seed, miou, tubes):
    content = result(seed, train=(miou, 0.0))
    content['stages'][0]['metrics']['VPQs'] = tubes
    return content


def test_video_rows_have_vpq():
    rows = comparison_rows({'a_x': [video(0, 40.0, 30.0), video(1, 44.0, 32.0)], 'b_x': [video(0, 30.0, 20.0)],
                            'c_x': [video(0, 30.0, 20.0), result(1, train=(30.0, 0.0))]})
    assert [(row['VPQs'], row['VPQs_std']) for row in rows] == [(31.0, pytest.approx(2 ** 0.5)), (20.0, None), (None, None)]
    table = format_markdown(rows, compact=True).splitlines()
    assert table[0].startswith('| method | mIoU (p) | VPQ^s (p) | gain |')
    assert table[2].startswith('| a | 42.0 ± 2.8 | 31.0 ± 1.4 |')
    assert '| c | 30.0 ± 0.0 | - |' in table[4]
    assert 'VPQ' not in format_markdown(comparison_rows(RUNS))


def asked(seed, *rounds):
    """A run of two classes whose rounds have (seconds so far, answers by class)."""
    stages = {f'round{number}': (40.0, 0.01 * number) for number in range(1, len(rounds) + 1)}
    content = dict(result(seed, **stages), classes=['road', 'car'])
    for stage, (seconds, classes) in zip(content['stages'], rounds):
        stage['labelled'].update(seconds=seconds, classes=classes)
    return content


def test_answers_of_all_rounds_have_an_evenness_and_a_price():
    runs = {'a_x': [asked(0, (1800.0, dict(road=8, car=0)), (3600.0, dict(road=0, car=8)))],
            'b_x': [asked(0, (60.0, dict(road=8)), (120.0, dict(road=4)))]}
    (first, second, _, last) = comparison_rows(runs, all_stages=True)
    assert (first['evenness'], second['evenness'], last['evenness']) == (0.0, 1.0, 0.0)
    assert (first['labelling_seconds'], second['labelling_seconds']) == (1800.0, 3600.0)
    table = format_markdown(comparison_rows(runs), compact=True).splitlines()
    assert '| labelled pixels | labelling | evenness |' in table[0] and '| 2.00 % | 1 h | 1.000 |' in table[2]
    assert 'evenness' not in format_markdown(comparison_rows({'a_x': runs['a_x'], **RUNS}))  # nothing to compare it with


def test_a_seed_without_baseline_leaves_no_gain():
    runs = dict(RUNS, supervised_x=RUNS['supervised_x'][:1], source_only_x=RUNS['source_only_x'][:1])
    spl = comparison_rows(runs)[0]
    assert (spl['gain'], spl['relative']) == (None, None)
    assert spl['time_ratio'] == 900 / 100  # of the seed that has both


def test_one_seed_has_no_deviation_and_no_reference_no_ratio():
    row, = comparison_rows({'a': [result(3, train=(10.0, 0.0))]})
    assert row['std'] is None and row['relative'] is None
    assert format_markdown([row]).splitlines()[-1] == '| a | 1 | 10.0 | 10.0 | - | - | - | - | - |'


def test_markdown_forms():
    rows = comparison_rows(RUNS)
    full, compact = format_markdown(rows).splitlines(), format_markdown(rows, compact=True).splitlines()
    assert full[:3] == [
        '| method | seeds | mIoU (p) | by seed | gain | labelled pixels | time | memory | of supervised |',
        '|---|---|---|---|---|---|---|---|---|',
        '| spl | 2 | 46.5 ± 2.1 | 48.0 / 45.0 | +24.5 | 2.20 % | ×5.62 | ×2.00 | 85.5 % |']
    assert compact[2] == '| spl | 46.5 ± 2.1 | +24.5 | 2.20 % | ×5.62 | ×2.00 | 85.5 % |'
    absolute = format_markdown(rows, absolute=True, stages=True).splitlines()
    assert 'training time | peak memory' in absolute[0]
    assert '| spl | main | 2 |' in absolute[2] and '| 30 s | 0 MiB |' in absolute[2]
    assert len({line.count('|') for line in full}) == 1


def test_the_choice_of_the_checkpoint_is_told_when_there_was_one():
    chosen, oracle = (dict(RUNS['spl_x'][0]['stages'][1], selection=dict(criterion=name, uses_target_labels=labels))
                      for name, labels in (('entropy', False), ('target_miou', True)))
    runs = dict(RUNS, a_x=[dict(RUNS['spl_x'][0], stages=[chosen])], b_x=[dict(RUNS['spl_x'][0], stages=[oracle])])
    text = format_markdown(comparison_rows(runs), compact=True)
    assert '| spl | last |' in text and '| a | entropy |' in text and '| b | target_miou (oracle) |' in text
    assert 'checkpoint' not in format_markdown(comparison_rows(RUNS))


def test_classes_are_means_over_the_seeds_that_have_them():
    runs = {'a_x': [result(0, iou={'road': 80.0, 'train': None}, train=(1.0, 0.0)),
                    result(1, iou={'road': 90.0, 'train': 10.0}, train=(3.0, 0.0))],
            'b_x': [result(0, iou={'road': 7.0, 'train': None}, train=(5.0, 0.0))]}
    rows = comparison_rows(runs)
    assert rows[0]['IoU'] == {'road': 85.0, 'train': 10.0} and rows[1]['IoU'] == {'road': 7.0, 'train': None}
    assert format_classes(rows).splitlines() == [
        '| method | mIoU (p) | road | train |', '|---|---|---|---|', '| a | 2.0 | 85.0 | 10.0 |', '| b | 5.0 | 7.0 | - |']


def test_every_metric_is_under_the_name_of_its_protocol():
    rows = comparison_rows({'a': [dict(video(0, 40.0, 30.0), protocol='viper15')]})
    assert rows[0]['protocol'] == 'viper15'
    assert '| mIoU (viper15) | by seed | VPQ^s (viper15) |' in format_markdown(rows)
    assert format_classes(rows).startswith('| method | mIoU (viper15) |')


def test_protocols_are_not_mixed():
    with pytest.raises(ValueError, match='p, q'):
        comparison_rows({'a': [result(0, train=(1.0, 0.0))], 'b': [result(0, 'q', train=(1.0, 0.0))]})


def test_markers(tmp_path):
    path = tmp_path / 'README.md'
    path.write_text('a\n<!-- results:x -->\nold\n<!-- /results -->\nb\n')
    update_between_markers(path, 'x', 'new')
    update_between_markers(path, 'x', 'newer')
    assert path.read_text() == 'a\n<!-- results:x -->\nnewer\n<!-- /results -->\nb\n'
    with pytest.raises(ValueError, match='results:y'):
        update_between_markers(path, 'y', 'new')
    assert 'newer' in path.read_text()
