# SPDX-License-Identifier: Apache-2.0
"""What has to agree between two runs: everything in a work directory but times, logs and the lock."""
import hashlib
import json
from pathlib import Path

import torch

from udatools.active.ledger import LabelLedger
from udatools.ops.digests import state_dict_digest

FOLDERS = ('pseudo_labels', 'requests', 'labels')


def checkpoint_contents(path):
    """Weights, optimiser and scheduler state of a checkpoint, bit by bit; its meta data holds times."""
    content = torch.load(path, map_location='cpu', weights_only=False)
    digests = {'state_dict': state_dict_digest(content['state_dict'])}
    for name, optimiser in content.get('optimizer', {}).items():
        for key, state in optimiser['state'].items():
            digests[f'{name}.{key}'] = state_dict_digest(state)
    if 'param_schedulers' in content:
        digests['schedulers'] = repr(content['param_schedulers'])
    return digests


def folder_contents(work_dir, folders=FOLDERS):
    """sha256 of every file below the folders."""
    work_dir = Path(work_dir)
    files = [path for folder in folders for path in sorted((work_dir / folder).rglob('*')) if path.is_file()]
    return {str(path.relative_to(work_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run_contents(work_dir):
    """By name; compare two of them with ``==``."""
    work_dir = Path(work_dir)
    contents = folder_contents(work_dir)
    journal = json.loads((work_dir / 'journal.json').read_text())
    for name, record in journal['stages'].items():
        contents[f'journal {name}'] = (record['status'], record['config'], record['checkpoint'], record['metrics'])
        contents[f'checkpoint {name}'] = checkpoint_contents(work_dir / record['checkpoint'])
    contents['final'] = checkpoint_contents(work_dir / 'final' / 'model.pth')
    contents['results'] = json.loads((work_dir / 'results.json').read_text())
    for stage in contents['results']['stages']:
        stage.pop('cost')
    if (work_dir / 'ledger.sqlite').exists():
        with LabelLedger(work_dir / 'ledger.sqlite') as ledger:
            contents['ledger'] = (ledger.content_digest(), ledger.spent(), ledger.rounds())
    return contents


def differences(expected, actual):
    """Names of what differs, for a readable assertion."""
    return sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
