# SPDX-License-Identifier: Apache-2.0
"""The sampler of evaluation over clips."""
import pytest

from udatools.datasets import clip_sampler
from udatools.registry import DATA_SAMPLERS


class Clips:
    """Eleven frames of four clips, listed in no order."""
    keys = ['b/2', 'a/1', 'c/0', 'a/0', 'b/10', 'b/1', 'd/0', 'a/2', 'a/3', 'b/3', 'd/5']

    def clip_of(self, key):
        clip, frame = key.split('/')
        return clip, int(frame)

    def __len__(self):
        return len(self.keys)


def shares(monkeypatch, world):
    found = []
    for rank in range(world):
        monkeypatch.setattr(clip_sampler, 'get_dist_info', lambda rank=rank: (rank, world))
        sampler = DATA_SAMPLERS.build(dict(type='ClipSampler', dataset=Clips(), seed=3))
        sampler.set_epoch(1)
        found.append([Clips.keys[index] for index in sampler])
        assert len(sampler) == len(found[-1])
    return found


def test_one_rank_has_all_frames_in_order(monkeypatch):
    assert shares(monkeypatch, 1) == [['a/0', 'a/1', 'a/2', 'a/3', 'b/1', 'b/2', 'b/3', 'b/10', 'c/0', 'd/0', 'd/5']]


@pytest.mark.parametrize('world', [2, 3, 6])
def test_clips_stay_whole_and_nothing_is_repeated(monkeypatch, world):
    found = shares(monkeypatch, world)
    assert sorted(key for share in found for key in share) == sorted(Clips.keys)
    owners = [{key[0] for key in share} for share in found]
    assert sum(map(len, owners)) == 4
    assert all(share == sorted(share, key=Clips().clip_of) for share in found)
    if world == 2:
        assert sorted(map(len, found)) == [5, 6]


def test_shuffling_is_refused():
    with pytest.raises(ValueError, match='shuffle=True'):
        clip_sampler.ClipSampler(Clips(), shuffle=True)
