# SPDX-License-Identifier: Apache-2.0
"""Merging what people said, against a literal reference pixel by pixel."""
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active.ledger_merge import POLICIES, check_policy, count_disagreement, latest_of_each, merge_entries

WORDS = st.sampled_from([0, 1, 2, 254, 255])
ENTRIES = st.lists(st.tuples(st.sampled_from(['anna', 'bob', 'zoe']), st.lists(WORDS, min_size=3, max_size=3)), max_size=7)


def as_maps(entries):
    return [(person, np.array([values], np.uint8)) for person, values in entries]


def merged_slowly(entries, policy):
    """One pixel after the other, one word after the other."""
    result = []
    for pixel in range(3):
        order, latest, last = [], {}, 255
        for person, values in entries:
            if values[pixel] != 255:
                if person not in order:
                    order.append(person)
                latest[person] = last = values[pixel]
        if not order:
            result.append(255)
        elif policy == 'first':
            result.append(latest[order[0]])
        elif policy == 'last':
            result.append(last)
        else:
            (word, votes), *rest = Counter(latest.values()).most_common()
            result.append(254 if any(other == votes for _, other in rest) else word)
    return result


@pytest.mark.parametrize('policy', POLICIES)
@settings(max_examples=50, deadline=None)
@given(entries=ENTRIES)
def test_merging_is_that_of_the_reference(policy, entries):
    merged = merge_entries(as_maps(entries), policy)
    if not entries:
        assert merged is None
        return
    assert merged.dtype == np.uint8 and merged.tolist() == [merged_slowly(entries, policy)]


def test_policies_by_hand():
    said = as_maps([('zoe', [0, 0, 255]), ('anna', [1, 1, 1]), ('zoe', [2, 255, 255]), ('bob', [1, 2, 255])])
    assert merge_entries(said, 'first').tolist() == [[2, 0, 1]]  # zoe was first and corrected herself
    assert merge_entries(said, 'last').tolist() == [[1, 2, 1]]
    assert merge_entries(said, 'majority').tolist() == [[1, 254, 1]]  # three different words are a tie


def test_inputs_are_left_as_they_are():
    for policy in POLICIES:
        said = as_maps([('anna', [0, 255, 255])])
        merge_entries(said, policy)[:] = 9
        latest_of_each(said)['anna'][:] = 9
        assert said[0][1].tolist() == [[0, 255, 255]]


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12))
def test_disagreement_is_that_of_the_reference(pairs):
    one, other = (np.array([[pair[i] for pair in pairs]], np.uint8) for i in (0, 1))
    both = [pair for pair in pairs if 255 not in pair]
    counts = count_disagreement(one, other)
    assert counts['both'].tolist() == [len(both)] and counts['differing'].tolist() == [sum(a != b for a, b in both)]
    for word in (0, 1, 2, 254):
        assert counts['either'][word] == sum(word in pair for pair in both)
        assert counts['differ'][word] == sum(word in pair and pair[0] != pair[1] for pair in both)
    assert counts['either'][255] == 0


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="policy is 'best'; expected one of"):
        check_policy('best')
