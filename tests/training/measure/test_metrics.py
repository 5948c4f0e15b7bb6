import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from training.measure.metrics import (
    auroc,
    average_precision,
    best_threshold,
    bootstrap_auroc,
    calibration_error,
    decisions,
    interval,
)

CASES = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1.0, float("nan")])), min_size=2, max_size=40
).filter(lambda rows: {0.0, 1.0} <= {label for _, label in rows})


def split(rows):
    scores, labels = np.array(rows, dtype=float).T
    return scores, labels, ~np.isnan(labels)


@given(CASES)
def test_auroc_is_scikit_learns_on_the_known_labels_ties_included(rows):
    scores, labels, known = split(rows)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels[known], scores[known]))


@given(CASES)
def test_average_precision_is_scikit_learns(rows):
    scores, labels, known = split(rows)
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels[known], scores[known]))


def test_one_class_alone_has_no_auroc():
    assert np.isnan(auroc(np.array([1.0, 2.0]), np.array([1.0, np.nan])))
    assert np.isnan(auroc(np.array([1.0]), np.array([np.nan])))
    assert np.isnan(average_precision(np.array([1.0]), np.array([0.0])))


def test_the_bootstrap_equals_a_naive_one_on_a_fixed_seed():
    generator = np.random.default_rng(3)
    scores = generator.integers(0, 20, (37, 3)).astype(float)
    labels = generator.integers(0, 2, (37, 3)).astype(float)
    labels[generator.random((37, 3)) < 0.2] = np.nan
    fast = bootstrap_auroc(scores, labels, 50, seed=7)
    drawn = np.random.default_rng(7).integers(0, 37, (50, 37))
    for resample, films in enumerate(drawn):
        for column in range(3):
            assert fast[resample, column] == pytest.approx(auroc(scores[films, column], labels[films, column]))


@pytest.mark.slow
def test_a_hundred_thousand_resamples_take_seconds():
    generator = np.random.default_rng(0)
    begin = time.monotonic()
    samples = bootstrap_auroc(generator.random((450, 14)), generator.integers(0, 2, (450, 14)) * 1.0, 100_000, 0)
    print(f"\n100,000 resamples of 450 × 14: {time.monotonic() - begin:.1f} s")
    assert samples.shape == (100_000, 14)


def test_the_interval_holds_the_middle():
    assert interval(np.append(np.arange(1001.0), np.nan)) == pytest.approx((25, 975))


def test_decisions_count_known_films():
    scores = np.array([0.9, 0.8, 0.2, 0.1, 0.7])
    labels = np.array([1, 0, 1, 0, np.nan])
    found = decisions(scores, labels, 0.5)
    assert (found.sensitivity, found.specificity, found.accuracy) == (0.5, 0.5, 0.5)


@given(CASES)
def test_no_threshold_is_better_than_the_best(rows):
    scores, labels, known = split(rows)
    probabilities = scores / 10 + 0.05
    best = decisions(probabilities, labels, best_threshold(probabilities, labels))
    for candidate in np.unique(probabilities[known])[1:]:
        other = decisions(probabilities, labels, float(candidate) - 1e-9)
        assert best.sensitivity + best.specificity >= other.sensitivity + other.specificity - 1e-9


def test_a_threshold_needs_both_classes():
    with pytest.raises(ValueError, match="both classes"):
        best_threshold(np.array([0.1, 0.2]), np.array([1.0, 1.0]))


def test_calibration_error_of_perfect_and_wrong_probabilities():
    labels = np.array([0.0, 1, 0, 1])
    assert calibration_error(np.full(4, 0.5), labels) == pytest.approx(0)
    assert calibration_error(np.full(4, 0.9), labels) == pytest.approx(0.4)
    assert calibration_error(1 - labels, labels) == pytest.approx(1)
