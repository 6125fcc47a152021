# SPDX-License-Identifier: Apache-2.0
"""The documentation says what is there: links, commands, options, names, and code that runs."""
import ast
import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from guide_blocks import PAGES, blocks_of, prose
from mmengine.config import Config
from shrink import REPO, shrink

import udatools  # noqa: F401
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.stages import expand_stages, merge_stage_config
from udatools.registry import DATASETS, OBJECTIVES

METHODS = sorted(path for path in (REPO / 'configs').iterdir() if path.is_dir() and path.name != '_base_')


def page_id(path):
    return str(path.relative_to(REPO))


def blocks(path, language):
    return [block.code for block in blocks_of(path) if block.language == language]


def anchors(path):
    headings = re.findall(r'^#+ (.*)$', prose(path), flags=re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def commands(path):
    """Every command line of the page's shell blocks, as words."""
    for code in blocks(path, 'bash'):
        for line in code.replace('\\\n', ' ').splitlines():
            if words := shlex.split(line.split('  #')[0], comments=False):
                yield words


def test_pages_are_found():
    assert {'README.md', 'docs/configs.md', 'docs/own_data.md', 'docs/benchmarks.md', 'docs/results.md',
            'configs/labor/README.md'} <= set(map(page_id, PAGES))


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_links_and_pictures_resolve(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', prose(page)):
        if '://' in target:
            continue
        name, _, anchor = target.partition('#')
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f'{page_id(page)} links to {target}'
        assert not anchor or anchor in anchors(found), f'{page_id(page)} links to {target}; there is {sorted(anchors(found))}'


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_paths_named_exist(page):
    text = page.read_text(encoding='utf-8')
    folders = 'udatools|tools|docs|configs|tests|requirements'
    for name in re.findall(rf'(?<![\w/.])((?:{folders})/[\w./]*\w\.(?:py|sh|md|json|txt))\b', text):
        assert (REPO / name).is_file(), f'{page_id(page)} names {name}'


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_commands_and_their_options_exist(page):
    saved = {block.save_as for block in blocks_of(page)}
    for words in commands(page):
        if words[0] not in ('python', 'bash'):
            continue
        if words[1] == '-m' or words[1] in saved:
            continue
        script = REPO / words[1]
        assert script.is_file(), f'{page_id(page)}: {words}'
        source = script.read_text(encoding='utf-8')
        if script.suffix == '.sh' and 'tools/train.py' in source:
            source += (REPO / 'tools' / 'train.py').read_text(encoding='utf-8')
        for shared in ('datasets/preparation/cli', 'engine/command_line'):
            if shared.replace('/', '.') in source:
                source += (REPO / 'udatools' / f'{shared}.py').read_text(encoding='utf-8')
        for word in words[2:]:
            if word.startswith('--') and script.name != 'run_tests.sh':
                assert f"'{word.split('=')[0]}'" in source, f'{page_id(page)}: {word} of {words[1]}'


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_environment_variables_named_are_read_somewhere(page):
    code = '\n'.join(path.read_text(encoding='utf-8') for folder in ('udatools', 'configs', 'tools', 'tests')
                     for path in (REPO / folder).rglob('*') if path.suffix in ('.py', '.sh') and path != Path(__file__))
    for name in set(re.findall(r'\bUDATOOLS_[A-Z0-9_]+', page.read_text(encoding='utf-8'))):
        assert name in code, f'{page_id(page)} names {name}'


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_components_named_exist(page):
    code = '\n'.join(path.read_text(encoding='utf-8') for path in (REPO / 'udatools').rglob('*.py'))
    for name in set(re.findall(r'`([A-Z][a-z]+[A-Z]\w+|[A-Z]{2,}[a-z]\w+)[`.(]', prose(page))):
        if name not in ('MinEnt', 'CityscapesDataset'):  # the example's, and mmseg's
            assert re.search(rf'\b{name}\b', code), f'{page_id(page)} names {name}'


@pytest.mark.parametrize('page', PAGES, ids=page_id)
def test_python_blocks_compile(page):
    for code in blocks(page, 'python'):
        ast.parse(code)


def test_readme_keeps_the_order():
    headings = re.findall(r'^## (.*)$', prose(REPO / 'README.md'), flags=re.MULTILINE)
    assert headings == ['Install', 'Quick start', 'Ask people, not only ground truth', 'Results', 'Why not a fork',
                        'Extend in 30 lines', 'Cite', 'Licence']
    text = (REPO / 'README.md').read_text(encoding='utf-8')
    assert 'bash tools/quickstart.sh' in text and 'bash tools/run_tests.sh' in text


@pytest.mark.parametrize('page', ['README.md', 'docs/results.md'])
@pytest.mark.parametrize('marker', ['methods_minidrive', 'methods_carla2camvid'])
def test_result_tables_can_be_written(page, marker, tmp_path):
    from udatools.evaluation.comparison import update_between_markers
    copy = tmp_path / 'page.md'
    original = (REPO / page).read_text(encoding='utf-8')
    copy.write_text(original, encoding='utf-8')
    update_between_markers(copy, marker, 'TABLE')
    changed = copy.read_text(encoding='utf-8')
    assert f'<!-- results:{marker} -->\nTABLE\n<!-- /results -->' in changed
    other = {'methods_minidrive': 'methods_carla2camvid', 'methods_carla2camvid': 'methods_minidrive'}[marker]
    part = re.search(rf'<!-- results:{other} -->.*?<!-- /results -->', original, flags=re.DOTALL).group()
    assert part in changed


@pytest.mark.parametrize('folder', METHODS, ids=lambda path: path.name)
def test_every_method_is_described(folder):
    configs = {path.name for path in folder.glob('*.py')}
    readme = (folder / 'README.md').read_text(encoding='utf-8')
    for heading in ('## Results', '## What differs'):
        assert heading in readme
    assert configs == set(re.findall(r'^\| `([\w]+\.py)`', readme, flags=re.MULTILINE)), 'one row a config in Results'
    meta = yaml.safe_load((folder / 'metafile.yml').read_text(encoding='utf-8'))
    assert {model['Config'] for model in meta['Models']} == {f'configs/{folder.name}/{name}' for name in configs}
    collections = {collection['Name'] for collection in meta['Collections']}
    for model in meta['Models']:
        assert model['In Collection'] in collections and model['Name'] == Path(model['Config']).stem
    for collection in meta['Collections']:
        assert (REPO / collection['README']).is_file()


def test_settings_that_labor_names_are_in_its_config():
    cfg = Config.fromfile(REPO / 'configs' / 'labor' / 'spl_gta2cs.py')
    names = set(re.findall(r'`(labor\.[\w.]+)[`=]', (REPO / 'configs' / 'labor' / 'README.md').read_text(encoding='utf-8')))
    assert len(names) >= 5
    for name in names:
        node = cfg
        for part in name.split('.'):
            assert part in node, name
            node = node[part]
    assert cfg.labor.budget is None and 'eq5_target_only' in cfg  # as the page says


def write_config(code, path):
    """A block as a file outside of the clone."""
    path.write_text(code.replace("'configs/", f"'{REPO.as_posix()}/configs/"), encoding='utf-8')
    return path


def test_the_example_of_the_readme_trains(minidrive_root, tmp_path, monkeypatch):
    objective, config = [code for code in blocks(REPO / 'README.md', 'python') if 'MinEnt' in code]
    assert len([line for line in (objective + config).splitlines() if line.strip()]) <= 30
    (tmp_path / 'my_methods.py').write_text(objective, encoding='utf-8')
    monkeypatch.syspath_prepend(str(tmp_path))
    data = {'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'}
    try:
        cfg = shrink(write_config(config, tmp_path / 'minent_minidrive.py'), data=data, work_dir=tmp_path / 'run', iterations=2)
        cfg.model.objectives[1]['weight'] = 1e-2
        results = StagedRunner(cfg).train()
        assert 0 <= results['stages'][-1]['metrics']['mIoU'] <= 100
        check_entropy(OBJECTIVES.get('MinEnt'))
    finally:
        OBJECTIVES.module_dict.pop('MinEnt', None)
        sys.modules.pop('my_methods', None)


def check_entropy(kind):
    """Uniform predictions have entropy 1 in units of log C, certain ones 0, and the step goes towards certainty."""
    import torch

    from udatools.models.segmentors import DomainBatch, UDABatch

    def entropy(logits):
        part = DomainBatch(inputs=torch.zeros(1, 3, 2, 2), label=None, features=(), logits={'main': logits})
        return kind(weight=0.5)(UDABatch(target=part), None)

    uniform = entropy(torch.zeros(1, 4, 2, 2))
    assert float(uniform['entropy']) == pytest.approx(1.0) and float(uniform['loss_entropy']) == pytest.approx(0.5)
    assert float(entropy(torch.tensor([100.0, 0, 0, 0]).view(1, 4, 1, 1).expand(1, 4, 2, 2))['entropy']) < 1e-6
    logits = torch.tensor([1.0, 0.5, 0, 0]).view(1, 4, 1, 1).requires_grad_()
    entropy(logits)['loss_entropy'].backward()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 2]  # descending raises the largest


def make_folder(root):
    rng = np.random.default_rng(0)
    for name, count in (('train', 3), ('val', 2)):
        for index in range(count):
            for folder, image in ((name, rng.integers(0, 256, (32, 64, 3), np.uint8)),
                                  (f'{name}_labels', rng.integers(0, 19, (32, 64), np.uint8))):
                (root / folder / 'cam0').mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / folder / 'cam0' / f'{index}.png'), image)


def test_the_example_of_own_data_trains(minidrive_root, tmp_path):
    make_folder(tmp_path / 'my_streets')
    config, labor = (code for code in blocks(REPO / 'docs' / 'own_data.md', 'python') if 'my_streets' in code)
    config, labor = (code.replace('data/my_streets', str(tmp_path / 'my_streets')) for code in (config, labor))
    path = write_config(config, tmp_path / 'own.py')
    cfg = shrink(path, data={'GTA5Domain': minidrive_root / 'gta5'}, work_dir=tmp_path / 'run', iterations=1)
    results = StagedRunner(cfg).train()
    assert results['protocol'] == 'cityscapes19' and results['stages'][-1]['metrics']['mIoU'] >= 0

    path = write_config(config.replace('methods/adaptsegnet.py', 'methods/labor_spl.py') + labor, tmp_path / 'own_labor.py')
    cfg = shrink(path, data={'GTA5Domain': minidrive_root / 'gta5'}, work_dir=tmp_path / 'labor')
    last = merge_stage_config(cfg, expand_stages(cfg.stages)[-1])
    hook = last.custom_hooks[-1]
    assert hook['budget'] == dict(unit='pixels', portion=0.02)
    for dataset, labelled in ((hook['dataset'], False), (hook['annotator']['dataset'], True)):
        built = DATASETS.build(dict(dataset, pipeline=[]))
        assert len(built) == 3 and built.labelled is labelled
    assert last.train_dataloader.dataset.target.type == 'ImageFolderDomain'
    assert str(last.train_dataloader.dataset.target.label_dir).endswith('/labels')
    cfg.iters = dict.fromkeys(cfg.iters, 1)
    asked = StagedRunner(cfg).train()['stages'][-1]['labelled']['pixels']
    assert 0 <= asked <= int(0.02 * 3 * 32 * 64)
