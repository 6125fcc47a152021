# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at any moment, then ``--resume``: weights, labels, ledger and results of an uninterrupted run.

Two chains of kills in one work directory each: one through every kind of file that a run writes (half written, written
but not renamed, renamed), one at events drawn from a seeded generator and at moments of the clock.
"""
import random
from pathlib import Path

import pytest
from kill_plan import carry_out, console
from run_contents import differences, run_contents
from shrink import REPO, shrink

from udatools.engine.runner.stages import StageConfig

pytestmark = pytest.mark.slow

# In the order in which a run comes by them; `skip` lets that many pass.
KINDS = [
    ('^replaced:config.py|^replaced:journal.json', 0),
    ('^fsync:stages/00_source/.*pth', 1),
    ('^iter:', 7),
    ('^iterated', 0),
    ('^replace:stages/01_warmup/.*iter_3.pth', 0),
    ('^replaced:stages/01_warmup/.*iter_3.pth', 0),
    ('^replaced:results.json', 0),
    ('^fsync:pseudo_labels/round_1/labels', 1),
    ('^replace:pseudo_labels/round_1/done.json', 0),
    ('^replaced:pseudo_labels/round_1/done.json', 0),
    ('^iter:', 2),
    ('^replaced:stages/03_.*pth', 1),
    ('^replace:requests/round_1/candidates', 2),
    ('^fsync:requests/round_1/masks', 1),
    ('^replaced:requests/round_1/items.jsonl', 0),
    ('^sql before COMMIT', 1),
    ('^sql after INSERT', 1),
    ('^sql before PRAGMA', 4),
    ('^fsync:labels/', 1),
    ('^unlink:.*npz', 1),
    ('^iter:', 1),
    ('^fsync:stages/04_round1_main/.*pth', 0),
    ('^unlink:stages/04_round1_main/iter_', 0),
    ('^fsync:.journal.json', 0),
    ('^replaced:requests/round_2/request.json', 0),
    ('^sql after COMMIT', 2),
    ('^replaced:labels/', 0),
    ('^replace:requests/round_3/predictions', 0),
    ('^replaced:stages/10_round3_main/.*iter_2.pth', 0),
    ('^fsync:final/.model.pth', 0),
    ('^replaced:final/model.pth', 0),
]


def drawn_kills(seed, count):
    rng = random.Random(seed)
    # A process has some 25 events before it gets on; most draws are beyond them.
    # Kills by the clock come last: how far each lets the run get depends on the machine, and must not decide how many follow.
    by_clock = count // 4
    return [*({'match': '', 'skip': rng.randrange(20, 150)} for _ in range(count - by_clock)),
            *({'after': rng.uniform(0.2, 1.5)} for _ in range(by_clock))]


@pytest.fixture(scope='module')
def outcome(minidrive_root, tmp_path_factory):
    root = tmp_path_factory.mktemp('kills')
    cfg = shrink(REPO / 'configs/labor/spl_minidrive.py', work_dir='unused', iterations=3,
                 data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'})
    cfg.iters.source = 30  # confident enough for pseudo-labels to be kept
    cfg.checkpoint_interval = 1
    cfg.stages[0].config['default_hooks.checkpoint.interval'] = 15
    StageConfig(cfg.to_dict()).dump(str(root / 'spl.py'))
    chains = dict(reference=[], kinds=[{'match': match, 'skip': skip} for match, skip in KINDS], drawn=drawn_kills(0, 12))
    plan = [dict(config=str(root / 'spl.py'), work_dir=str(root / name), kills=[*kills, None])
            for name, kills in chains.items()]
    return root, carry_out(plan, root)


@pytest.mark.parametrize('chain', ['kinds', 'drawn'])
def test_same_as_uninterrupted(chain, outcome):
    root, records = outcome
    for record in records:
        assert record['status'] in (0, -9), console(record)
    mine = [record for record in records if Path(record['work_dir']).name == chain]
    assert mine[-1]['status'] == 0
    expected, actual = run_contents(root / 'reference'), run_contents(root / chain)
    assert differences(expected, actual) == []
    assert len(expected['results']['stages']) == 5 and expected['ledger'][1]['pixels'] > 0
    assert list((root / chain).rglob('*.tmp')) == []  # what the kills left half-written is gone


def test_every_kind_of_kill_happened(outcome):
    root, records = outcome
    survived = [record['kill'] for record in records if record['kill'] and record['status'] == 0]
    assert [kill for kill in survived if 'after' not in kill and kill['match']] == []
    killed = [record['kill'] for record in records if record['status'] == -9]
    assert len([kill for kill in killed if 'after' not in kill]) >= len(KINDS) + 5
