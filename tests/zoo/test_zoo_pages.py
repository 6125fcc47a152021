# SPDX-License-Identifier: Apache-2.0
"""The written files of a small zoo, by hand; what the checks find; and that this repository's zoo has not drifted."""
import json

import pytest
import yaml
from small_zoo import CHECKPOINT, keep, write_zoo

from udatools.zoo.checks import find_problems
from udatools.zoo.figures import own_figures
from udatools.zoo.metafiles import MetafileError, read_metafiles
from udatools.zoo.pages import generated_files, read_zoo


@pytest.fixture
def zoo(tmp_path):
    return write_zoo(tmp_path)


def written(root):
    """Writes everything; returns the texts by name."""
    files = generated_files(read_zoo(root))
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    return {path.relative_to(root).as_posix(): text for path, text in files.items()}


def edit(path, old, new):
    text = path.read_text(encoding='utf-8')
    assert old in text
    path.write_text(text.replace(old, new), encoding='utf-8')


def problems(root):
    return list(find_problems(read_zoo(root)))


# ---- our figures ---------------------------------------------------------------------------------------------------


def test_figures_are_means_of_the_records(zoo):
    figures = own_figures(zoo)
    assert figures.keys() == {'one_x', 'two_x'}
    one, two = figures['one_x'], figures['two_x']
    assert (one.miou, one.std, one.seeds) == (pytest.approx(50), pytest.approx(2), (0, 1)) and one.vpqs is None
    assert one.commits == ('aaa', 'bbb') and one.hardware == ('CPU', 'Some GPU') and one.current and one.protocol == 'p'
    assert (two.vpqs, two.vpqs_std, two.std) == (20, None, None) and two.answers == pytest.approx(2.2)
    assert two.folder == 'docs/records/x/two_x' and one.answers == 0


def test_records_of_a_changed_config_say_so_or_give_way(zoo):
    edit(zoo / 'configs/demo/one_x.py', 'number=0', 'number=7')
    assert not own_figures(zoo)['one_x'].current and own_figures(zoo)['one_x'].miou == pytest.approx(50)
    assert own_figures(zoo)['two_x'].current
    keep(zoo, 'one_x', 2, 10.0, commit='ccc')
    figure = own_figures(zoo)['one_x']
    assert figure.current and figure.values == {2: 10.0} and figure.std is None and figure.commits == ('ccc', )


def test_records_that_are_none_or_of_nothing_are_named(zoo):
    record = zoo / 'docs/records/x/one_x/seed_0.json'
    text = record.read_text()
    record.write_text('{"digest": "a", "commit": "b", "results": {"stages": []}}')
    with pytest.raises(ValueError, match='seed_0.json is no record of a run'):
        own_figures(zoo)
    record.write_text(text)
    (zoo / 'docs/records/x/one_x').rename(zoo / 'docs/records/x/other')
    with pytest.raises(ValueError, match='other holds records of a config that does not exist'):
        own_figures(zoo)
    (zoo / 'docs/records/x/other').rename(zoo / 'docs/records/x/one_x')
    (zoo / 'docs/records/y/one_x').mkdir(parents=True)
    with pytest.raises(ValueError, match='are records of one config'):
        own_figures(zoo)


# ---- written files -------------------------------------------------------------------------------------------------


def test_metafile_takes_results_from_the_records_and_keeps_the_rest(zoo):
    path = zoo / 'configs/demo/metafile.yml'
    edit(path, 'Name: one_x\n', 'Name: one_x\n    Results: [{Metrics: {mIoU: 99.9}}]\n')
    edit(path, 'Name: four_x\n', 'Name: four_x\n    Results: [{Metrics: {mIoU: 99.9}}]\n')
    text = written(zoo)['configs/demo/metafile.yml']
    models = {model['Name']: model for model in yaml.safe_load(text)['Models']}
    assert models['one_x']['Results'] == [{'Task': 'Semantic Segmentation', 'Dataset': 'B', 'Metrics': {'mIoU': 50.0},
                                           'Protocol': 'p', 'Seeds': [0, 1], 'Records': 'docs/records/x/one_x'}]
    assert models['two_x']['Results'][0]['Metrics'] == {'mIoU': 30.0, 'VPQs': 20.0}
    assert 'Results' not in models['three_x'] and 'Results' not in models['four_x'] and '99.9' not in text
    assert models['three_x']['Published'][1] == {'Metrics': {'mIoU': 41.25}, 'Source': 'somebody'}
    assert written(zoo)['configs/demo/metafile.yml'] == text  # one form
    edit(zoo / 'configs/demo/one_x.py', 'number=0', 'number=7')
    assert written(zoo)['configs/demo/metafile.yml'].count('Note: measured before the config was changed') == 1


def test_index_imports_the_metafiles(zoo):
    assert yaml.safe_load(written(zoo)['model-index.yml']) == {'Import': ['configs/demo/metafile.yml']}


def test_catalogue_gets_the_figure_of_its_seed(zoo):
    entry, = json.loads(written(zoo)['udatools/zoo/checkpoints.json'])['checkpoints']
    assert entry['miou'] == 51.4 and entry['data'] == 'B' and entry['bytes'] == len(CHECKPOINT)
    edit(zoo / 'udatools/zoo/checkpoints.json', '"seed": 1', '"seed": 5')
    with pytest.raises(ValueError, match='one is of configs/demo/one_x.py, seed 5; there is no record of such a run'):
        generated_files(read_zoo(zoo))


def test_page_keeps_published_and_own_figures_apart(zoo):
    page = written(zoo)['docs/model_zoo.md']
    lines = page.splitlines()
    header = next(line for line in lines if line.startswith('| config'))
    assert header == ('| config | data | network | published mIoU | published VPQ^s | source of the published | our mIoU '
                      '| our VPQ^s | our protocol | answered | seeds | commit | hardware | checkpoint |')
    rows = {line.split(']')[0][3:]: [cell.strip() for cell in line.split('|')[2:-1]]
            for line in lines if line.startswith('| [')}
    assert rows == {
        'one_x': ['B', 'R-1', '-', '-', '-', '50.0 ± 2.0', '-', 'p', '-', '0, 1', 'aaa, bbb', 'CPU, Some GPU', '`one`'],
        'two_x': ['B', 'R-1', '-', '-', '-', '30.0', '20.0', 'p', '2.20 %', '0', 'aaa', 'CPU', '-'],
        'three_x': ['B', 'R-1', '40.1, 41.25', '30.0', 'paper (on C); somebody', 'not run', 'not run', *['-'] * 6]}
    assert 'Without a figure so far: [four_x](../configs/demo/four_x.py).' in page
    assert '[Demo: a paper](https://example.org/demo). [What it is, and what differs](../configs/demo/README.md)' in page
    commands = [line for line in page.replace(' \\\n   ', '').splitlines() if 'compare_methods.py' in line]
    assert commands == ['python tools/benchmark/compare_methods.py configs/demo/one_x.py --seeds 0 1',
                        'python tools/benchmark/compare_methods.py configs/demo/two_x.py --seeds 0']
    checkpoint = next(line for line in lines if line.startswith('| `one`'))
    assert '| 1 | 51.4 | B |' in checkpoint
    edit(zoo / 'configs/demo/one_x.py', 'number=0', 'number=7')
    assert '| 50.0 ± 2.0 † |' in written(zoo)['docs/model_zoo.md'] and '30.0 †' not in page


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('old', 'new', 'reason'), [
    ('    Task: Semantic Segmentation\n', '', 'model one_x: Task is missing'),
    ('Test Data: B', 'Test Data: [B]', r"model one_x: Test Data is \['B'\]; expected a str"),
    ('Config: configs/demo/two_x.py', 'Config: configs/demo/one_x.py', 'model two_x: its config is .*one_x.py'),
    ('In Collection: Demo', 'In Collection: Other', "no collection 'Other'; expected Demo"),
    ('    Task: ', '    Colour: red\n    Task: ', 'unknown key Colour'),
    ('Source: somebody', 'Note: somebody', 'model three_x, Published: Source is missing'),
    ('{mIoU: 41.25}', '{mIoU: about 41}', 'expected numbers under mIoU, VPQs'),
    ('{mIoU: 41.25}', '{IoU: 41.25}', 'expected numbers under mIoU, VPQs'),
    ('Models:', 'Model:', 'expected the keys Collections and Models'),
    ('Collections:', '}', 'is no YAML')])
def test_a_metafile_that_breaks_the_format_is_named(zoo, old, new, reason):
    path = zoo / 'configs/demo/metafile.yml'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(MetafileError, match=reason):
        read_metafiles(zoo)


def test_nothing_is_wrong_with_the_small_zoo(zoo):
    assert problems(zoo) == []


def test_configs_without_an_entry_and_entries_without_a_config(zoo):
    (zoo / 'configs/demo/five_x.py').write_text('')
    (zoo / 'configs/other').mkdir()
    (zoo / 'configs/other/six_x.py').write_text('')
    assert problems(zoo) == ['configs/demo/five_x.py is in no metafile; add it to configs/demo/metafile.yml',
                             'configs/other/six_x.py is in no metafile; add it to configs/other/metafile.yml']
    for path in ('demo/five_x.py', 'other/six_x.py', 'demo/four_x.py'):
        (zoo / 'configs' / path).unlink()
    assert problems(zoo) == ['configs/demo/four_x.py is in a metafile and does not exist; take it out']


@pytest.mark.parametrize(('old', 'new', 'reason'), [
    ('50.0 ± 2.0', '50.1 ± 2.0', 'of `one_x.py`; the records say 50.0 ± 2.0'),
    ('[50.0 ± 2.0](x.md), two seeds', 'not run by us yet', 'of `one_x.py`; the records say 50.0 ± 2.0'),
    ('30.0 / 20.0', '30.0 / 21.0', 'of `two_x.py`; the records say 30.0 / 20.0'),
    ('| `four_x.py` | - | not run by us yet |', '| `four_x.py` | - | 12 |', 'of `four_x.py`, of which docs/records has nothing'),
    ('41.25 (somebody)', '41.26 (somebody)', 'does not name the published 41.25 of `three_x.py`'),
    ('| `four_x.py` | - |', '| `four_x.py` | 40.5 (paper) |',
     "has a published figure of `four_x.py`, '40.5 (paper)'; add it to metafile.yml"),
    ('| `four_x.py`', '| `fourth_x.py`', 'has no row of `four_x.py`')])
def test_a_page_that_says_something_else_is_named(zoo, old, new, reason):
    edit(zoo / 'configs/demo/README.md', old, new)
    found, = problems(zoo)
    assert found.startswith('configs/demo/README.md') and reason in found


def test_checkpoints_that_are_not_what_the_catalogue_says(zoo):
    index = zoo / 'udatools/zoo/checkpoints.json'
    file, = (zoo / 'udatools/zoo/checkpoints').iterdir()
    file.write_bytes(b'weightS')
    assert 'is not the file that' in problems(zoo)[0]
    file.unlink()
    assert 'one has no address, and' in problems(zoo)[0]
    edit(index, '"urls": []', '"urls": ["https://example.org/one"]')
    assert problems(zoo) == []
    entry, = json.loads(index.read_text())['checkpoints']
    edit(index, entry['sha256'], '0' * 64)
    assert 'does not carry the first eight digits' in problems(zoo)[0]
