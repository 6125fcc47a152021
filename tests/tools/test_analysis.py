# SPDX-License-Identifier: Apache-2.0
"""The scripts of tools/analysis about runs and features, as they are called."""
import json

import cv2
import numpy as np
import pytest
import torch
from toy_run import toy_run

from udatools.engine.domain_features import domain_images, training_config
from udatools.utils.png import read_image
from udatools.visualization.panels import resize_image


@pytest.fixture
def tool(load_tool):
    """Function: ``main`` of a script in tools/analysis."""
    return lambda name: lambda *args: load_tool(f'analysis/{name}.py').main([str(arg) for arg in args])


@pytest.fixture(scope='module')
def run(tiny_data, tmp_path_factory):
    return toy_run(tmp_path_factory.mktemp('tools') / 'run', tiny_data)


def test_compare_runs(tool, run, tmp_path, capsys):
    page = tmp_path / 'out' / 'page.html'
    assert tool('compare_runs')(run, '--out', page, '--no-models') == 0
    printed = capsys.readouterr()
    assert 'cbst_toy      1  40.00' in printed.out and f'page: {page}' in printed.out and printed.err == ''
    assert '<h2>Learning curve</h2>' in page.read_text() and 'Confusions' not in page.read_text()
    assert not (run / 'analysis').exists()
    assert tool('compare_runs')(tmp_path, '--out', page) == 1
    assert capsys.readouterr().err.startswith('error: ') and page.is_file()
    assert tool('compare_runs')(run, '--out', page, '--device', 'cpu', '--worst', 0, '--cfg-options',
                                'val_dataloader.dataset.data_root=/nowhere') == 0
    assert 'warning: cbst_toy: no confusions and worst images: ' in capsys.readouterr().err


def shown_keys(grid, run, domains):
    """(key of the query, keys of its neighbours) of each row, found by comparing the cells with all images of the domains."""
    cfg = training_config(run / 'final' / 'model.pth', None, None)
    images = {}
    for domain in domains:
        dataset = domain_images(cfg, domain)
        images[domain] = {key: resize_image(read_image(dataset.image_path(key)), (30, 60)) for key in dataset.keys}

    def key_of(domain, top, left):
        cell = grid[top:top + 30, left:left + 60]
        key, = [key for key, image in images[domain].items() if np.array_equal(cell[5:-5, 5:-5], image[5:-5, 5:-5])]  # in a frame
        return key

    return [(key_of(domains[0], top, 0), [key_of(domains[1], top, 72 + 64 * k) for k in range(3)]) for top in (18, 18 + 56)]


def test_retrieval_in_both_directions(tool, run, tmp_path, capsys):
    arguments = ('--queries', 2, '-k', 3, '--width', 60, '--device', 'cpu')
    assert tool('retrieval')(run / 'final' / 'model.pth', '--out', tmp_path / 'a', *arguments) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / 'a' / 'retrieval.json').read_text())
    assert found['images'] == dict(source=4, target=4) and found['mixing']['k'] == 7
    assert found['mixing']['relative'] == pytest.approx(1.0)  # all others are neighbours
    assert 'chance 57.1%' in printed and 'domains mixed 1.00 of chance' in printed
    for direction in ('source_to_target', 'target_to_source'):
        assert len(found[direction]) == 4
        for near in found[direction].values():
            values = [value for _, value in near]
            assert len({key for key, _ in near}) == 3 and values == sorted(values, reverse=True)
        # 2 rows of 4 pictures of 60 x 30 with a line of text each
        assert cv2.imread(str(tmp_path / 'a' / f'{direction}.png')).shape == (2 * 48 + 8, 4 * 60 + 4 * 4 + 4, 3)
        shown = shown_keys(cv2.imread(str(tmp_path / 'a' / f'{direction}.png')), run, direction.split('_to_'))
        assert len({query for query, _ in shown}) == 2
        assert all(others == [key for key, _ in found[direction][query]] for query, others in shown)
    nearest = {key: near[0] for key, near in found['source_to_target'].items()}
    back = {key: dict(near) for key, near in found['target_to_source'].items()}
    assert any(source in back[target] and back[target][source] == pytest.approx(value, abs=1e-5)
               for source, (target, value) in nearest.items())
    assert tool('retrieval')(run / 'final' / 'model.pth', '--out', tmp_path / 'b', '--centre', *arguments) == 0
    centred = json.loads((tmp_path / 'b' / 'retrieval.json').read_text())
    assert centred['mixing'] == found['mixing'] and centred['source_to_target'] != found['source_to_target']
    assert tool('retrieval')(run / 'final' / 'model.pth', '--out', tmp_path / 'c', '-k', 0) == 1
    assert 'got 6 queries and 0 neighbours' in capsys.readouterr().err


@pytest.mark.parametrize('suffix', ['.png', '.svg'])
def test_embedding_before_and_after(tool, run, tmp_path, capsys, suffix):
    model = run / 'final' / 'model.pth'
    picture = tmp_path / f'out{suffix}'
    assert tool('embedding')(model, model, '--out', picture, '--per-class', 3, '--titles', 'one', 'two', '--device', 'cpu') == 0
    lines = capsys.readouterr().out.splitlines()
    one, two = (line.partition(': ')[2] for line in lines if line.startswith(('one', 'two')))
    assert one == two and 'nearest source pixel of the class' in one  # the same network twice
    if suffix == '.png':
        assert cv2.imread(str(picture)).shape[1] > 1000
    else:
        assert '<svg' in picture.read_text()


def test_embedding_refuses_what_it_cannot_draw(tool, run, tmp_path, capsys):
    model = run / 'final' / 'model.pth'
    for arguments, message in (((model, model, model), 'got 3 checkpoints'),
                               ((model, '--titles', 'a', 'b'), 'got 2 titles for 1')):
        with pytest.raises(SystemExit):
            tool('embedding')(*arguments, '--out', tmp_path / 'x.png')
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool('embedding')(model, '--out', tmp_path / 'x.jpg')
    assert 'ends with .png' in capsys.readouterr().err


def test_no_label_of_the_target_is_opened(tool, run, tmp_path, monkeypatch):
    from udatools.datasets.domain_dataset import DomainDataset
    monkeypatch.setattr(DomainDataset, 'label_path', lambda self, key: pytest.fail(f'opened the label of {key}'))
    model = run / 'final' / 'model.pth'
    torch.manual_seed(0)
    assert tool('retrieval')(model, '--out', tmp_path, '--device', 'cpu', '--queries', 1) == 0
    assert tool('embedding')(model, '--out', tmp_path / 'a.png', '--labels', 'prediction', '--per-class', 2) == 0
