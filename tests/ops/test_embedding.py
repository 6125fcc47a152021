# SPDX-License-Identifier: Apache-2.0
"""Samples and projections: counts, an independent decomposition, determinism."""
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.embedding import balanced_sample, principal_components, tsne


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 5, 255]), max_size=60), st.integers(1, 9), st.integers(0, 99))
def test_balanced_sample(values, per_class, seed):
    label = torch.tensor(values, dtype=torch.uint8)
    found = balanced_sample(label, per_class, torch.Generator().manual_seed(seed))
    assert found.tolist() == sorted(set(found.tolist()))
    for value in {0, 1, 2, 5}:
        assert int((label[found] == value).sum()) == min(per_class, values.count(value))
    assert not bool((label[found] == 255).any())
    assert torch.equal(found, balanced_sample(label, per_class, torch.Generator().manual_seed(seed)))


def test_every_item_of_a_class_is_equally_likely():
    label = torch.tensor([0, 1, 0, 0, 1, 0])
    drawn = torch.zeros(6)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2000):
        drawn[balanced_sample(label, 1, generator)] += 1
    assert drawn[label == 0].tolist() == pytest.approx([500] * 4, abs=90) and drawn[label == 1].tolist() == pytest.approx(
        [1000] * 2, abs=110)


def test_principal_components_by_singular_values():
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(1)) * torch.tensor([9.0, 1, 1, 4, 1, 1]) + 100
    found = principal_components(features, 2)
    centred = features.double() - features.double().mean(0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    for i in range(2):  # the sign is free
        assert torch.allclose(found.points[:, i].double().abs(), expected[:, i].abs(), atol=1e-4)
    assert torch.allclose(found.explained, singular[:2]**2 / (singular**2).sum())
    assert float(found.points[:, 0].std()) > float(found.points[:, 1].std())


def test_sign_of_a_direction():
    for seed in range(8):
        features = torch.randn(30, 4, generator=torch.Generator().manual_seed(seed))
        points = principal_components(features, 2).points
        directions = (features - features.mean(0)).T @ points / (points**2).sum(0)  # (4, 2), of the projection itself
        assert torch.allclose(directions.norm(dim=0), torch.ones(2), atol=1e-4)
        assert bool((directions.gather(0, directions.abs().argmax(0)[None]) > 0).all())


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match=r'shape \(2, 5\) for 2 dimensions; expected \(N, D\) with N > 2'):
        principal_components(torch.zeros(2, 5))
    with pytest.raises(ValueError, match='per_class=0'):
        balanced_sample(torch.zeros(3), 0, torch.Generator())
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', None)
    with pytest.raises(ImportError, match=r"pip install 'udatools\[analysis\]'"):
        tsne(torch.zeros(9, 3))


def test_tsne_keeps_clusters_together_and_repeats_itself():
    pytest.importorskip('sklearn', reason='t-SNE needs scikit-learn; install requirements/test.txt')
    generator = torch.Generator().manual_seed(2)
    centres = torch.eye(3, 8) * 10
    features = torch.cat([centre + torch.randn(20, 8, generator=generator) for centre in centres])
    found = tsne(features, perplexity=8, seed=3)
    distance = torch.cdist(found.points, found.points).fill_diagonal_(torch.inf)
    assert bool((distance.argmin(1) // 20 == torch.arange(60) // 20).all()) and found.explained is None
    assert torch.equal(found.points, tsne(features * 4, perplexity=8, seed=3).points)  # by cosine: length says nothing
    with pytest.raises(ValueError, match='4 points'):
        tsne(features[:4])
