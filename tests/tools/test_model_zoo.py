# SPDX-License-Identifier: Apache-2.0
"""``tools/model_zoo.py``: writes, checks, and finds nothing to do in this repository."""
import pytest
from small_zoo import keep, write_zoo


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('model_zoo.py')


def test_this_repository_has_not_drifted(tool, capfd):
    """Run ``python tools/model_zoo.py`` after a change of metafiles, records or configs, and commit what it writes."""
    status = tool.main(['--check'])
    assert status == 0, capfd.readouterr().err


def test_check_fails_until_written_and_after_each_change(tool, tmp_path, capfd):
    root = write_zoo(tmp_path)

    def check():
        capfd.readouterr()
        return tool.main(['--check', '--root', str(root)]), capfd.readouterr().err

    status, said = check()
    assert status == 1 and 'docs/model_zoo.md is not what tools/model_zoo.py writes; run it' in said
    assert not (root / 'docs/model_zoo.md').exists()
    assert tool.main(['--root', str(root)]) == 0 and check() == (0, '')
    for name, old, new in (('docs/model_zoo.md', '50.0 ± 2.0', '51.0 ± 2.0'),
                           ('configs/demo/metafile.yml', 'mIoU: 50.0', 'mIoU: 51.0'),
                           ('udatools/zoo/checkpoints.json', '51.4', '51.5'), ('model-index.yml', 'demo', 'demos')):
        path = root / name
        text = path.read_text(encoding='utf-8')
        assert old in text
        path.write_text(text.replace(old, new), encoding='utf-8')
        status, said = check()
        assert status == 1 and said.count('NOT RIGHT') == 1 and f'NOT RIGHT - {name} is not what' in said
        path.write_text(text, encoding='utf-8')
    keep(root, 'one_x', 2, 60.0, commit='ccc')
    status, said = check()
    assert status == 1 and said.count('NOT RIGHT') == 3  # metafile, page, and the method's README
    assert tool.main(['--root', str(root)]) == 1  # the README is for people to write


def test_a_broken_metafile_is_an_error_in_one_line(tool, tmp_path, capfd):
    root = write_zoo(tmp_path)
    (root / 'configs/demo/metafile.yml').write_text('Models: []')
    assert tool.main(['--root', str(root)]) == 1
    said = capfd.readouterr().err
    assert 'expected the keys Collections and Models' in said and 'Traceback' not in said
