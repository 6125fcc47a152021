# SPDX-License-Identifier: Apache-2.0
"""Published models: the same logits in both formats, of student or teacher, and nothing else in the files."""
import hashlib

import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from tiny_network import CLASSES, PALETTE, drive, write_network

from udatools.engine.frame_predictor import load_frame_predictor
from udatools.engine.publish import publish_model
from udatools.engine.runner.checkpoints import CheckpointError, read_checkpoint, safetensors_bytes


@pytest.fixture(scope='module')
def stage(tmp_path_factory):
    """The checkpoint of a stage with a teacher of other weights."""
    path = write_network(tmp_path_factory.mktemp('stage'), stage=True)
    content = torch.load(path, weights_only=False)
    content |= {'optimizer': {'lr': 1.0}, 'message_hub': {}}
    content['state_dict']['objectives.d.weight'] = torch.ones(2)
    torch.save(content, path)
    return path


@pytest.fixture(scope='module')
def logits(stage, tmp_path_factory):
    """What student and teacher answer to one image."""
    content = torch.load(stage, weights_only=False)
    teacher = {f'segmentor.{key.removeprefix("teacher.segmentor.")}': value for key, value in content['state_dict'].items()
               if key.startswith('teacher.')}
    path = tmp_path_factory.mktemp('teacher') / 'iter_1.pth'
    torch.save(content | {'state_dict': teacher}, path)
    answers = {name: load_frame_predictor(file, device='cpu').logits(drive(1))[0]
               for name, file in (('student', stage), ('teacher', path))}
    assert (answers['student'] - answers['teacher']).abs().max() > 0.1
    return answers


@pytest.mark.parametrize('which', ['student', 'teacher'])
def test_both_files_answer_as_the_model_does(stage, logits, tmp_path, which):
    done = publish_model(stage, tmp_path, 'net', weights=which)
    for path in (done.pth, done.safetensors):
        assert path.stem == f'net-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}'
        predictor = load_frame_predictor(path, device='cpu')
        torch.testing.assert_close(predictor.logits(drive(1))[0], logits[which], rtol=1e-4, atol=1e-4)
        assert predictor.classes == CLASSES and predictor.palette == [tuple(colour) for colour in PALETTE]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([done.pth.name, done.safetensors.name, 'net.py'])


def test_the_files_are_plain_mmseg_and_hold_nothing_of_training(stage, logits, tmp_path):
    done = publish_model(stage, tmp_path, 'net')
    content = torch.load(done.pth, weights_only=True)
    assert content.keys() == {'meta', 'state_dict'} and content['meta'].keys() == {'cfg', 'dataset_meta'}
    assert all(key.startswith(('backbone.', 'decode_head.')) for key in content['state_dict'])
    assert sum(value.numel() for value in content['state_dict'].values()) == done.parameters
    other = read_checkpoint(done.safetensors)
    assert other['meta'] == content['meta'] and other['state_dict'].keys() == content['state_dict'].keys()
    assert all(torch.equal(value, other['state_dict'][key]) for key, value in content['state_dict'].items())
    config = Config.fromfile(done.config)
    assert config.model.type == 'EncoderDecoder' and 'custom_imports' not in config and 'objectives' not in config.model
    model = init_model(str(done.config), str(done.pth), device='cpu')
    answer = inference_model(model, drive(1)[0]).seg_logits.data
    torch.testing.assert_close(answer, logits['student'], rtol=1e-4, atol=1e-4)


def test_equal_weights_are_equal_files_and_an_export_publishes_alike(stage, tmp_path):
    first, second = (publish_model(stage, tmp_path / folder, 'net') for folder in 'ab')
    assert (first.pth.name, first.safetensors.name) == (second.pth.name, second.safetensors.name)
    again = publish_model(first.pth, tmp_path / 'c', 'net')
    assert again.safetensors.read_bytes() == first.safetensors.read_bytes()
    with pytest.raises(CheckpointError, match='is an exported model, which has no teacher'):
        publish_model(first.pth, tmp_path / 'd', 'net', weights='teacher')


def test_half_the_size(stage, logits, tmp_path):
    full, half = (publish_model(stage, tmp_path, 'net', dtype=dtype) for dtype in ('float32', 'float16'))
    assert half.safetensors.stat().st_size < 0.6 * full.safetensors.stat().st_size
    state = read_checkpoint(half.safetensors)['state_dict']
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    predictor = load_frame_predictor(half.safetensors, device='cpu')
    assert {value.dtype for value in predictor.model.parameters()} == {torch.float32}
    answer, expected = predictor.logits(drive(1))[0], logits['student']
    assert 0 < (answer - expected).abs().max() < 0.02 * expected.abs().max()


def test_what_cannot_be_published_is_refused(stage, tmp_path):
    content = torch.load(stage, weights_only=False)
    state = content['state_dict']
    alone = tmp_path / 'iter_1.pth'
    torch.save(content | {'state_dict': {key: value for key, value in state.items() if not key.startswith('teacher.')}}, alone)
    with pytest.raises(CheckpointError, match='has no teacher .*; it has: student. Only stages with `teacher`'):
        publish_model(alone, tmp_path / 'out', 'net', weights='teacher')
    key = next(key for key in state if key.startswith('segmentor.') and key.endswith('running_var'))
    torch.save(content | {'state_dict': state | {key: torch.full_like(state[key], 1e5)}}, alone)
    with pytest.raises(ValueError, match=r'running_var holds values up to 1e\+05, beyond what torch.float16 holds; use float32'):
        publish_model(alone, tmp_path / 'out', 'net', dtype='float16')
    for options in (dict(weights='both'), dict(dtype='int8')):
        with pytest.raises(ValueError, match='expected one of student, teacher, and one of float32, float16'):
            publish_model(stage, tmp_path / 'out', 'net', **options)
    for name in ('a/b', '', '..', 'a b'):
        with pytest.raises(ValueError, match='would not do as a file name'):
            publish_model(stage, tmp_path / 'out', name)
    assert not (tmp_path / 'out').exists()


def test_paths_of_the_machine_stay_at_home(stage, tmp_path):
    content = torch.load(stage, weights_only=False)
    content['meta']['cfg'] += (
        "test_dataloader = dict(dataset=dict(data_root='/home/me/camvid', split='val', other=['a/b', '/x/y']))\n")
    path = tmp_path / 'iter_1.pth'
    torch.save(content, path)
    dataset = Config.fromfile(publish_model(path, tmp_path / 'out', 'net').config).test_dataloader.dataset
    assert dataset == dict(data_root='data/camvid', split='val', other=['a/b', 'data/y'])


def test_safetensors_of_other_programs(stage, tmp_path):
    from safetensors.torch import save_file
    done = publish_model(stage, tmp_path / 'out', 'net')
    state = read_checkpoint(done.safetensors)['state_dict']
    save_file(state, tmp_path / 'foreign.safetensors')
    assert read_checkpoint(tmp_path / 'foreign.safetensors')['meta'] == {}
    with pytest.raises(CheckpointError, match='nothing says which network'):
        load_frame_predictor(tmp_path / 'foreign.safetensors')
    (tmp_path / 'broken.safetensors').write_bytes(done.safetensors.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match='broken.safetensors is not a readable checkpoint'):
        read_checkpoint(tmp_path / 'broken.safetensors')
    view = torch.arange(6.0).view(2, 3).t()  # neither contiguous nor alone in its memory
    (tmp_path / 'view.safetensors').write_bytes(safetensors_bytes({'a': view, 'b': view}, {'k': [1]}))
    again = read_checkpoint(tmp_path / 'view.safetensors')
    assert torch.equal(again['state_dict']['a'], view) and torch.equal(again['state_dict']['b'], view)
    assert again['meta'] == {'k': [1]}
