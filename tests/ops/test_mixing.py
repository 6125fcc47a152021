# SPDX-License-Identifier: Apache-2.0
"""Class mixing against a literal loop."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.mixing import class_mix_mask, confident_share, paste, teacher_label


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(1, 6), batch=st.integers(1, 3), side=st.integers(1, 7))
def test_mask_holds_whole_classes_and_half_of_them(seed, classes, batch, side):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(-1, classes, (batch, side, side), generator=generator)
    label[label < 0] = 255
    torch.manual_seed(seed)
    mask = class_mix_mask(label, classes)
    for own_label, own_mask in zip(label, mask, strict=True):
        present = sorted(set(own_label.flatten().tolist()) - {255})
        chosen = sorted(set(own_label[own_mask].tolist()))
        assert 255 not in chosen
        assert len(chosen) == (len(present) + 1) // 2
        literal = torch.zeros_like(own_mask)
        for row in range(side):
            for column in range(side):
                literal[row, column] = int(own_label[row, column]) in chosen
        assert torch.equal(own_mask, literal)


def test_every_class_gets_its_turn():
    label = torch.arange(4).view(1, 2, 2).expand(200, 2, 2)
    torch.manual_seed(0)
    share = class_mix_mask(label, 4).float().mean(0)
    assert share.min() > 0.35 and share.max() < 0.65


def test_nothing_labelled_gives_an_empty_mask():
    assert not class_mix_mask(torch.full((2, 3, 3), 255), 5).any()


def test_paste_by_hand():
    mask = torch.tensor([[[True, False]]])
    assert paste(mask, torch.tensor([[[1, 1]]]), torch.tensor([[[2, 2]]])).tolist() == [[[1, 2]]]
    images = paste(mask, torch.ones(1, 3, 1, 2), torch.zeros(1, 3, 1, 2))
    assert images[0, :, 0].tolist() == [[1, 0]] * 3


def test_confident_share_is_an_image_s_own():
    confidence = torch.tensor([[[0.9, 0.5], [0.97, 0.99]], [[0.1, 0.1], [0.1, 1.0]]])
    assert confident_share(confidence, 0.96).tolist() == pytest.approx([0.5, 0.25])


def test_teacher_label_by_hand():
    sure, unsure = [0.0, 0.98, 0.02], [0.4, 0.3, 0.3]
    prob = torch.tensor([[sure, unsure, unsure, sure], [unsure] * 4]).permute(0, 2, 1)[..., None]  # (2, 3, 4, 1)
    label, weight = teacher_label(prob, 0.97)
    assert label[..., 0].tolist() == [[1, 0, 0, 1], [0] * 4] and weight[..., 0].tolist() == [[0.5] * 4, [0.0] * 4]
    label, weight = teacher_label(prob, 0.97, ignore_rows=(1, 2))
    assert weight[..., 0].tolist() == [[0, 0.5, 0, 0], [0.0] * 4]
    known = torch.tensor([[255, 255, 255, 2], [0, 255, 255, 255]])[..., None]
    label, weight = teacher_label(prob, 0.97, known=known, ignore_rows=(1, 2))
    assert label[..., 0].tolist() == [[1, 0, 0, 2], [0] * 4]
    assert weight[..., 0].tolist() == [[0, 0.5, 0, 1], [1, 0, 0, 0]]  # what is known holds in ignored rows too
    assert teacher_label(prob, 0.97, ignore_rows=(0, 9))[1].sum() == 0  # more rows than there are
