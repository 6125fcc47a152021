# SPDX-License-Identifier: Apache-2.0
"""SIGKILL inside flow computation, clip-adaptive labelling, VAT and VST, and in between: the files of an uninterrupted run.

As ``test_kill_and_resume.py``: a chain through every kind of file half written, written but not renamed, and renamed; and a chain
at events drawn from a seeded generator. Each computes its own flow and then trains on it.
"""
import json
import random

import pytest
from kill_plan import carry_out, console
from run_contents import differences, run_contents
from small_video_run import small_video_config, write_config

pytestmark = pytest.mark.slow

# In the order in which a run comes by them; `skip` lets that many pass.
FLOW_KINDS = [
    ('^fsync:.flow.json', 0),
    ('^replaced:flow.json', 0),
    ('^fsync:-1/', 1),
    ('^replace:[+]1/', 1),
    ('^replaced:-1/', 2),
    ('^fsync:[+]1/', 1),
]
RUN_KINDS = [
    ('^fsync:stages/00_source/.*pth', 0),
    ('^iter:', 16),  # the source ends with 15 of them, VAT goes on
    ('^fsync:stages/01_warmup/.*iter_2.pth', 0),
    ('^replace:results.json', 0),
    ('^fsync:pseudo_labels/round_1/labels/.0001_', 3),
    ('^replaced:pseudo_labels/round_1/confidence/0001_', 8),  # the first clip is labelled, the second not begun
    ('^replace:pseudo_labels/round_1/labels/0002_', 2),
    ('^replaced:pseudo_labels/round_1/thresholds.json', 0),
    ('^replace:pseudo_labels/round_1/done.json', 0),
    ('^replaced:pseudo_labels/round_1/done.json', 0),
    ('^iter:', 1),
    ('^replaced:stages/02_round1_main/.*iter_3.pth', 0),
    ('^fsync:pseudo_labels/round_2/confidence/.0003_', 0),
]


def kills(kinds):
    return [{'match': match, 'skip': skip} for match, skip in kinds]


def drawn_kills(seed, count, most):
    rng = random.Random(seed)
    return [{'match': '', 'skip': rng.randrange(2, most)} for _ in range(count)]


@pytest.fixture(scope='module')
def outcome(uneven_video_root, tmp_path_factory):
    root = tmp_path_factory.mktemp('kills')
    cfg = small_video_config('video_da/vat_vst', uneven_video_root, rounds=2, iterations=3)
    cfg.target_flow.root = '{work_dir}_flow'
    cfg.stages[0].config['default_hooks.checkpoint.interval'] = 15
    config = str(write_config(cfg, root / 'vst.py'))
    chains = dict(reference=([], []), kinds=(kills(FLOW_KINDS), kills(RUN_KINDS)),
                  drawn=(drawn_kills(0, 1, 40), drawn_kills(1, 4, 160)))
    plan = []
    for name, (of_flow, of_run) in chains.items():
        flow, arguments = str(root / f'{name}_flow'), [config, '--batch-size', '2', '--out']
        plan += [dict(tool='compute_flow', arguments=[*arguments, flow], work_dir=flow, kills=[*of_flow, None]),
                 dict(config=config, work_dir=str(root / name), kills=[*of_run, None])]
    return root, carry_out(plan, root)


@pytest.mark.parametrize('chain', ['kinds', 'drawn'])
def test_same_as_uninterrupted(chain, outcome, tree):
    root, records = outcome
    for record in records:
        assert record['status'] in (0, -9), console(record)
    last = {record['work_dir']: record['status'] for record in records}
    assert last[str(root / f'{chain}_flow')] == last[str(root / chain)] == 0
    flow = {name: content for name, content in tree(root / 'reference_flow').items() if name != 'lock'}
    assert len(flow) == 1 + 2 * (7 + 5)
    # Temporary files of the kills are gone, too.
    assert {name: content for name, content in tree(root / f'{chain}_flow').items() if name != 'lock'} == flow
    expected, actual = run_contents(root / 'reference'), run_contents(root / chain)
    assert differences(expected, actual) == [] and list((root / chain).rglob('.*.tmp')) == []
    assert len(expected['results']['stages']) == 4 and all(stage['metrics']['mTC'] for stage in expected['results']['stages'])
    for number in (1, 2):
        coverage = json.loads((root / 'reference' / f'pseudo_labels/round_{number}/coverage.json').read_text())
        assert coverage['images'] == 16 and coverage['kept_pixels'] > 0


def test_every_kind_of_kill_happened(outcome):
    survived = [record['kill'] for record in outcome[1] if record['kill'] and record['status'] == 0]
    assert [kill for kill in survived if kill['match']] == []
    assert len([record for record in outcome[1] if record['status'] == -9]) >= len(FLOW_KINDS) + len(RUN_KINDS) + 3


def test_the_journal_is_json(outcome):
    """Metrics that do not exist (no clip is long enough) are null: JSON has no nan."""

    def refuse(constant):
        raise AssertionError(f'{constant} is no JSON')

    journal = json.loads((outcome[0] / 'reference/journal.json').read_text(), parse_constant=refuse)
    assert journal['stages']['warmup']['metrics']['VPQs_4'] is None
