# SPDX-License-Identifier: Apache-2.0
"""``tools/translate_source.py``: from a config, again, checked, trained on, and refused."""
import json
from pathlib import Path

import pytest
from mmengine.config import Config
from shrink import REPO, shrink

from udatools.engine.runner import StagedRunner


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('translate_source.py').main


@pytest.fixture
def config(minidrive_root, tmp_path, monkeypatch):
    """BDL at paper scale on the tiny data; translations belong into ``<tmp_path>/data/gta2cs``."""
    monkeypatch.setenv('UDATOOLS_GTA5', str(minidrive_root / 'gta5'))
    monkeypatch.setenv('UDATOOLS_CITYSCAPES', str(minidrive_root / 'cityscapes'))
    monkeypatch.setenv('UDATOOLS_TRANSLATED', str(tmp_path / 'data'))
    return str(REPO / 'configs' / 'bdl' / 'bdl_gta2cs.py')


def test_translate_check_and_train(main, config, minidrive_root, tmp_path, capsys):
    folder = tmp_path / 'data' / 'gta2cs'
    assert main([config, '--check']) == 1
    assert 'gta2cs does not exist; download it, or write one with' in capsys.readouterr().err
    assert main([config, '--transform-options', 'beta=0.05']) == 0
    assert f'6 images in {folder}: 6 translated, 0 were there' in capsys.readouterr().out
    assert main([config, '--transform-options', 'beta=0.05']) == 0
    assert '0 translated, 6 were there' in capsys.readouterr().out
    settings = json.loads((folder / 'translation.json').read_text())
    assert settings['transform'] == dict(type='FourierTransfer', beta=0.05) and settings['seed'] == 0
    assert main([config, '--check', '--sample', '3']) == 0
    assert '3 images of' in (out := capsys.readouterr().out) and 'phase consistency 0.9' in out

    data = {'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'}
    cfg = shrink(Path(config), data=data, work_dir=tmp_path / 'run', iterations=1)
    cfg.translated_source = str(folder)
    results = StagedRunner(cfg).train()
    assert [record['name'] for record in results['stages']] == ['warmup', 'round1_main', 'round2_main']
    (folder / '00001.png').unlink()
    with pytest.raises(FileNotFoundError, match="the first is '00001'"):
        cfg.work_dir = str(tmp_path / 'again')
        StagedRunner(cfg).train()
    assert main([config, '--check']) == 1
    assert 'no translation in' in capsys.readouterr().err


def test_what_is_refused(main, config, minidrive_root, tmp_path, capsys):
    assert main([config]) == 0
    capsys.readouterr()
    ltir = str(REPO / 'configs' / 'ltir' / 'ltir_gta2cs.py')
    source_only = str(REPO / 'configs' / 'source_only' / 'source_only_gta2cs.py')
    for arguments, message in (
        ([config, '--seed', '1'], 'holds translations that were made otherwise (seed 0 instead of 1)'),
        ([config, '--transform', 'RandomConvolution'], 'made otherwise'),
        ([config, '--transform-options', 'beta=3', '--out', str(tmp_path / 'new')], 'beta is 3'),
        ([ltir], f'the config reads translations from {tmp_path}/data/gta2cs, '),
        ([source_only], 'the config reads translations from nowhere; give --out'),
        ([config, '--out', str(minidrive_root / 'gta5')], 'overlap; choose another --out'),
        ([config, '--out', str(minidrive_root / 'gta5' / 'images' / 'new')], 'overlap; choose another --out'),
        (['nowhere.py'], 'nowhere.py does not exist'),
    ):
        assert main(arguments) == 1, arguments
        error = capsys.readouterr().err.rpartition('error: ')
        assert error[1] and message in error[2] and 'Traceback' not in error[2], error
    assert not (tmp_path / 'new').exists()
    assert main([ltir, '--transform', 'RandomConvolution', '--out', str(tmp_path / 'stylised')]) == 0
    assert '6 translated' in capsys.readouterr().out


def test_the_config_reads_what_the_tool_writes_by_default(config, tmp_path):
    cfg = Config.fromfile(config)
    assert cfg.translated_source == str(tmp_path / 'data' / 'gta2cs')
