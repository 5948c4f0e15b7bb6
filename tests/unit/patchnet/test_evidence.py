from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.patchnet.evidence import flip_set, outer_ring, remove_patches, sufficient_set, summarize

LOGITS = st.lists(st.floats(-9, 9, width=32), min_size=9, max_size=9).map(torch.tensor)
RULES = st.sampled_from(["drop", "neutral"])
BOUNDARIES = st.floats(-3, 3)


def decide(logits, removed, boundary, rule):
    mask = torch.zeros(9, dtype=torch.bool)
    mask[list(removed)] = True
    return bool(remove_patches(logits[:, None].double(), mask, rule)[0] >= boundary)


def subsets(rule, of_kept):
    """All subsets of nine patches that the rule allows, smallest first."""
    smallest = 1 if of_kept and rule == "drop" else 0
    largest = 9 if of_kept or rule == "neutral" else 8
    return (set(chosen) for size in range(smallest, largest + 1) for chosen in combinations(range(9), size))


@given(st.sets(st.integers(0, 8), max_size=8))
def test_dropping_patches_is_the_mean_over_the_rest(removed):
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(9, dtype=torch.bool)
    mask[list(removed)] = True
    torch.testing.assert_close(remove_patches(logits, mask, "drop"), logits[~mask].mean(dim=0))
    silenced = torch.where(mask[:, None], 0.0, logits)
    torch.testing.assert_close(remove_patches(logits, mask, "neutral"), silenced.mean(dim=0))


def test_dropping_everything_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        remove_patches(torch.zeros(4, 2), torch.ones(4, dtype=torch.bool), "drop")


def test_removing_everything_neutrally_leaves_no_evidence():
    assert remove_patches(torch.randn(4, 2), torch.ones(4, dtype=torch.bool), "neutral").tolist() == [0, 0]


def test_the_outer_ring_of_eight_by_eight_has_28_patches():
    ring = outer_ring(8)
    assert int(ring.sum()) == 28
    assert ring.reshape(8, 8)[1:7, 1:7].any().item() is False
    assert outer_ring(1).tolist() == [True]


def test_the_summary_splits_evidence_for_and_against():
    logits = torch.tensor([2.0, 0, -1, 0, 6, 0, -3, 0, 0])
    summary = summarize(logits)
    assert (summary.sum_for, summary.sum_against) == (8.0, -4.0)
    assert summary.outer_ring_share == pytest.approx(0.25)


def test_without_positive_evidence_there_is_no_share():
    assert summarize(-torch.ones(9)).outer_ring_share is None


@given(LOGITS, BOUNDARIES, RULES)
def test_the_sufficient_set_holds_and_no_smaller_one_does(logits, boundary, rule):
    decision = bool(logits.double().mean() >= boundary)
    found = sufficient_set(logits, boundary, rule)
    holds = [kept for kept in subsets(rule, True) if decide(logits, set(range(9)) - kept, boundary, rule) is decision]
    assert len(found) == min(len(kept) for kept in holds)


@given(LOGITS, BOUNDARIES, RULES)
def test_the_flip_set_flips_and_no_smaller_one_does(logits, boundary, rule):
    decision = bool(logits.double().mean() >= boundary)
    found = flip_set(logits, boundary, rule)
    flips = [removed for removed in subsets(rule, False) if decide(logits, removed, boundary, rule) is not decision]
    if found is None:
        assert not flips
    else:
        assert len(found) == min(len(removed) for removed in flips)
        assert decide(logits, found, boundary, rule) is not decision
