# SPDX-License-Identifier: Apache-2.0
"""Runs a plan of ``kill_driver.py`` in a process of its own."""
import json
import os
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).with_name('kill_driver.py')


def carry_out(plan, root):
    """What became of each process, in order; see ``kill_driver.py`` for the plan."""
    (root / 'plan.json').write_text(json.dumps(plan))
    subprocess.run([sys.executable, str(DRIVER), str(root / 'plan.json'), str(root / 'outcome.json')], check=True, timeout=500,
                   env=dict(os.environ, OMP_NUM_THREADS='1'))
    return json.loads((root / 'outcome.json').read_text())


def console(record):
    """What a process printed."""
    return Path(record['log'] + '.console').read_text()
