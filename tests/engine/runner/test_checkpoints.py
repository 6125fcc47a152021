# SPDX-License-Identifier: Apache-2.0
"""Finding readable checkpoints, and starting one model from another's weights."""
import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import init_default_scope
from shrink import REPO, shrink

import udatools  # noqa: F401
from udatools.engine.inference import build_predictor
from udatools.engine.runner import StagedRunner, checkpoints
from udatools.engine.runner.checkpoints import CheckpointError, list_checkpoints, newest_readable, read_checkpoint, start_from
from udatools.engine.runner.stage_runner import StageRunner
from udatools.engine.runner.stages import expand_stages, merge_stage_config
from udatools.registry import MODELS


def build(name='labor/spl_minidrive', kind='warmup', seed=0, **changes):
    """The model of a stage of a shrunken config, with random weights of its own everywhere."""
    init_default_scope('mmseg')
    cfg = shrink(REPO / f'configs/{name}.py', data={}, work_dir='unused')
    for key, value in changes.items():
        cfg.merge_from_dict({key.replace('__', '.'): value})
    stage = next(stage for stage in expand_stages(cfg.get('stages') or [dict(name='train')]) if stage.kind == kind)
    torch.manual_seed(seed)
    model = MODELS.build(dict(merge_stage_config(cfg, stage).model))
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return model


def saved(state, path):
    torch.save({'meta': {}, 'state_dict': state}, path)
    return path


def same(state, other, prefix=''):
    keys = [key for key in state if key.startswith(prefix)]
    assert keys
    return all(torch.equal(state[key], other[key]) for key in keys)


def test_listing_is_by_number(tmp_path):
    for name in ('iter_9.pth', 'iter_10.pth', 'iter_100.pth', 'best_iter_500.pth', 'last_checkpoint', 'iter_x.pth',
                 '.iter_200.pth'):
        (tmp_path / name).write_text('')
    assert [path.name for path in list_checkpoints(tmp_path)] == ['iter_100.pth', 'iter_10.pth', 'iter_9.pth']
    assert list_checkpoints(tmp_path / 'missing') == []


def test_newest_readable(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(checkpoints, 'print_log', lambda message, **kwargs: said.append(message))
    assert newest_readable(tmp_path) is None
    for number in (1, 2, 3):
        saved({'w': torch.ones(50)}, tmp_path / f'iter_{number}.pth')
    assert newest_readable(tmp_path).name == 'iter_3.pth' and said == []
    (tmp_path / 'iter_3.pth').write_bytes((tmp_path / 'iter_3.pth').read_bytes()[:-200])
    torch.save({'something': 'else'}, tmp_path / 'iter_2.pth')
    assert newest_readable(tmp_path).name == 'iter_1.pth'
    assert [name in line for name, line in zip(('iter_3.pth', 'iter_2.pth'), said)] == [True, True] and len(said) == 2
    (tmp_path / 'iter_1.pth').write_bytes(b'')
    with pytest.raises(CheckpointError, match=f'none of the 3 checkpoints in {tmp_path} can be read; delete them'):
        newest_readable(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r'no\.pth is not a readable checkpoint .*FileNotFoundError.*; give another'):
        read_checkpoint(tmp_path / 'no.pth')
    with pytest.raises(CheckpointError, match='IsADirectoryError.*; give another'):
        read_checkpoint(tmp_path)  # nobody is told to delete it


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_the_code_of_a_foreign_file_is_not_run(tmp_path):
    torch.save(dict(state_dict={}, meta=Trap(tmp_path / 'sprung')), tmp_path / 'trap.pth')
    with pytest.raises(CheckpointError, match='holds objects beside weights and plain values, which are not loaded'):
        read_checkpoint(tmp_path / 'trap.pth')
    assert not (tmp_path / 'sprung').exists()


def trapped(path, sprung):
    """A checkpoint with the right weights, whose optimiser writes a file."""
    torch.save(dict(state_dict=build().state_dict(), meta={}, optimizer=Trap(sprung)), path)
    return path


def test_nor_is_that_of_a_file_that_training_starts_from(tmp_path):
    path = trapped(tmp_path / 'trap.pth', tmp_path / 'sprung')
    with pytest.raises(CheckpointError, match='holds objects beside weights and plain values, which are not loaded'):
        start_from(build(), path)
    cfg = shrink(REPO / 'configs/source_only/source_only_minidrive.py', data=dict(GTA5Domain=tmp_path), work_dir=tmp_path / 'run')
    cfg.load_from = str(path)
    runner = StagedRunner(cfg)
    stage, = runner.stages
    stage_cfg = runner.stage_config(stage)
    assert stage_cfg.start_from == str(path) and stage_cfg.load_from is None
    with pytest.raises(CheckpointError, match='holds objects beside weights'):
        StageRunner._init_model_weights(SimpleNamespace(cfg=stage_cfg, _resume=False, bare_model=build()))
    assert not (tmp_path / 'sprung').exists()


def test_nor_is_that_of_a_file_that_labels_are_made_with(tmp_path):
    path = trapped(tmp_path / 'trap.pth', tmp_path / 'sprung')
    cfg = shrink(REPO / 'configs/labor/spl_minidrive.py', data={}, work_dir='unused')
    with pytest.raises(CheckpointError, match='holds objects beside weights and plain values, which are not loaded'):
        build_predictor(merge_stage_config(cfg, expand_stages(cfg.stages)[1]).model, path)
    assert not (tmp_path / 'sprung').exists()


def test_start_takes_the_segmentor_and_the_discriminator(tmp_path):
    model, other = build(seed=0), build(seed=1)
    state = copy.deepcopy(other.state_dict())
    assert any(key.startswith('objectives.') for key in state)
    start_from(model, saved(state, tmp_path / 'x.pth'))
    assert same(state, model.state_dict())


def test_start_without_discriminator_keeps_its_own(tmp_path):
    model, other = build(seed=0), build(kind='source', seed=1)
    own = copy.deepcopy(model.state_dict())
    start_from(model, saved(other.state_dict(), tmp_path / 'x.pth'))
    assert same(other.state_dict(), model.state_dict(), 'segmentor.')
    assert same(own, model.state_dict(), 'objectives.')


def test_start_from_a_plain_mmseg_checkpoint(tmp_path):
    model, other = build(seed=0), build(kind='source', seed=1)
    plain = {key.removeprefix('segmentor.'): value for key, value in other.state_dict().items()}
    assert any(key.startswith('backbone.') for key in plain)
    start_from(model, saved(plain, tmp_path / 'x.pth'))
    assert same(other.state_dict(), model.state_dict(), 'segmentor.')


def test_start_may_lack_the_auxiliary_head(tmp_path):
    model = build('adaptsegnet/adaptsegnet_multilevel_gta2cs', kind='train', seed=0)
    other = build('adaptsegnet/adaptsegnet_multilevel_gta2cs', kind='train', seed=1)
    own = copy.deepcopy(model.state_dict())
    without = {key: value for key, value in other.state_dict().items() if 'auxiliary_head' not in key}
    assert len(without) < len(own)
    start_from(model, saved(without, tmp_path / 'x.pth'))
    assert same(without, model.state_dict()) and same(own, model.state_dict(), 'segmentor.auxiliary_head')


def test_selector_copies_the_main_classifier(tmp_path):
    selector, main = build(kind='self_training', seed=0), build(seed=1)
    start_from(selector, saved(main.state_dict(), tmp_path / 'main.pth'))
    head = main.segmentor.decode_head.state_dict()
    assert same(head, selector.second_head.state_dict()) and same(head, selector.segmentor.decode_head.state_dict())


def test_selector_takes_over_both_classifiers_of_a_selector(tmp_path):
    selector, earlier = build(kind='discrepancy', seed=0), build(kind='self_training', seed=1)
    start_from(selector, saved(earlier.state_dict(), tmp_path / 'b.pth'))
    assert same(earlier.second_head.state_dict(), selector.second_head.state_dict())
    assert not same(earlier.segmentor.decode_head.state_dict(), selector.second_head.state_dict())


def test_a_network_that_does_not_fit(tmp_path):
    model = build(seed=0)
    own = copy.deepcopy(model.state_dict())
    for state in (build(seed=1, num_classes=5).state_dict(), {'backbone.x': torch.zeros(1)}):
        message = 'does not fit the model: .* parameters .*such as segmentor.*same network and classes'
        with pytest.raises(CheckpointError, match=message):
            start_from(model, saved(state, tmp_path / 'x.pth'))
        assert same(own, model.state_dict())  # nothing was half loaded
