# SPDX-License-Identifier: Apache-2.0
"""The journal file."""
import json

import pytest

from udatools.engine.runner.journal import Journal, JournalError, WorkDirInUseError, WorkDirLock


def test_remembers_stages(tmp_path):
    journal = Journal(tmp_path / 'journal.json')
    assert not journal.exists and journal.stage('a') == {'status': 'pending'}
    journal.update('a', status='running', config='123')
    journal.update('a', status='done', checkpoint='iter_1.pth')
    again = Journal(tmp_path / 'journal.json')
    assert again.exists and again.stage('a') == dict(status='done', config='123', checkpoint='iter_1.pth')
    assert list(json.loads((tmp_path / 'journal.json').read_text())['stages']) == ['a']


def test_a_record_is_a_copy(tmp_path):
    journal = Journal(tmp_path / 'journal.json')
    journal.update('a', status='done')
    journal.stage('a')['status'] = 'broken'
    assert journal.stage('a')['status'] == 'done'


@pytest.mark.parametrize('text', ['', '{"stages":', 'null', '[1]', '{"stages": 3}'])
def test_damaged(text, tmp_path):
    path = tmp_path / 'journal.json'
    path.write_text(text)
    with pytest.raises(JournalError, match=f'{path} cannot be read .*--work-dir'):
        Journal(path)
    assert path.read_text() == text


def test_a_failed_write_keeps_the_old_file(tmp_path):
    journal = Journal(tmp_path / 'journal.json')
    journal.update('a', status='done')
    before = journal.path.read_bytes()
    with pytest.raises(TypeError):
        journal.update('b', status=object())
    assert journal.path.read_bytes() == before


def test_lock_is_exclusive_and_given_back(tmp_path):
    lock = WorkDirLock(tmp_path / 'new')
    with lock:
        with pytest.raises(WorkDirInUseError, match='in use by another run'), WorkDirLock(tmp_path / 'new'):
            pass
        with WorkDirLock(tmp_path / 'other'):
            pass
    with WorkDirLock(tmp_path / 'new'):
        pass
    lock.__exit__()  # twice is harmless
