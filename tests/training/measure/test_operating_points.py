"""Operating points, statuses and the default operating point, from predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import FindingRecord, OperatingPoint, Quality
from training.measure.findings import decide_findings, held_out_qualities
from training.measure.inference import Predicted
from training.measure.operating_points import choose_default, count_positives, decide, operating_points
from training.measure.status import status_of

FILMS = 200


def rows(*pairs):
    probabilities, labels = np.array(pairs, dtype=float).T
    return probabilities, labels


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from([0.0, 1.0, float("nan")])), min_size=2, max_size=60).filter(
        lambda pairs: {0.0, 1.0} <= {label for _, label in pairs}
    )
)
def test_no_higher_threshold_is_as_sensitive_and_no_lower_one_as_specific(pairs):
    probabilities, labels = np.array(pairs, dtype=float).T
    probabilities = (probabilities + 1) / 22
    points = operating_points(probabilities, labels, "made")
    probabilities, labels = probabilities[~np.isnan(labels)], labels[~np.isnan(labels)]
    assert points["sensitive"].sensitivity >= 0.9
    assert points["specific"].specificity >= 0.9
    for candidate in np.unique(probabilities):
        called = probabilities >= candidate
        if called.sum() < (probabilities >= points["sensitive"].threshold).sum():
            assert called[labels == 1].mean() < 0.9
        if candidate < points["specific"].threshold:
            assert (~called[labels == 0]).mean() < 0.9


def test_predictive_values_and_prevalence_are_counted_on_the_known_labels():
    point = operating_points(*rows((0.9, 1), (0.8, 0), (0.7, 1), (0.1, 0), (0.2, 0), (0.6, np.nan)), "made")[
        "sensitive"
    ]
    assert 0.2 < point.threshold < 0.7
    assert (point.ppv, point.npv) == (pytest.approx(2 / 3), 1.0)
    assert (point.prevalence, point.positives, point.negatives, point.dataset) == (pytest.approx(0.4), 2, 3, "made")


def test_one_class_alone_has_no_operating_point():
    assert operating_points(*rows((0.9, 1), (0.8, 1)), "made") == {}


@pytest.mark.parametrize(
    ("positives", "negatives", "low", "derived", "status"),
    [
        (20, 20, 0.70, False, "validated"),
        (19, 400, 0.95, False, "weak"),
        (400, 19, 0.95, False, "weak"),
        (50, 50, 0.699, False, "weak"),
        (50, 50, 0.95, True, "derived"),
    ],
)
def test_statuses_follow_the_rule(positives, negatives, low, derived, status):
    quality = Quality(dataset="test", positives=positives, negatives=negatives, auroc=0.96, auroc_interval=(low, 0.97))
    assert status_of(quality, derived=derived) == status


def test_what_was_not_measured_is_weak():
    assert status_of(None, derived=False) == "weak"


def record(name, threshold=0.5, status="validated"):
    quality = Quality(dataset="test", positives=20, negatives=20, auroc=0.9, auroc_interval=(0.8, 0.95))
    points = {"balanced": OperatingPoint(threshold=threshold), "specific": OperatingPoint(threshold=0.9)}
    return FindingRecord(name=name, status=status, operating_points=points, quality=quality)


def only(**probabilities):
    values = np.full((1, len(FINDING_NAMES)), 0.01)
    for name, value in probabilities.items():
        values[0, FINDING_NAMES.index(name.replace("_", " "))] = value
    return values


def called(found):
    return [name for name, positive in zip(FINDING_NAMES, found[0], strict=True) if positive]


def test_only_validated_findings_are_positive():
    records = [record(name, status="weak" if name == "Edema" else "validated") for name in FINDING_NAMES]
    assert called(decide(records, "balanced", only(Edema=0.9, Pneumonia=0.9))) == ["Pneumonia"]


def test_no_finding_is_positive_beside_support_devices_alone():
    records = [record(name) for name in FINDING_NAMES]
    assert called(decide(records, "balanced", only(No_Finding=0.9, Support_Devices=0.9))) == [
        "No Finding",
        "Support Devices",
    ]
    assert called(decide(records, "balanced", only(No_Finding=0.9, Edema=0.9))) == ["Edema"]


def test_on_normal_radiographs_the_other_findings_count():
    records = [record(name) for name in FINDING_NAMES]
    probabilities = np.concatenate([only(No_Finding=0.9), only(Edema=0.9, Pneumonia=0.9), only(Edema=0.9)])
    labels = np.zeros_like(probabilities)
    labels[:2, 0] = 1
    counts = count_positives(records, "balanced", probabilities, labels, "made")
    assert (counts.films, counts.all) == (3, pytest.approx(4 / 3))
    assert (counts.normal_films, counts.normal) == (2, 1.0)


@pytest.mark.parametrize(
    ("findings_positive", "default", "tried"),
    [(1, "balanced", ["balanced"]), (5, "specific", ["balanced", "specific"])],
)
def test_the_default_is_the_first_operating_point_with_few_positives(findings_positive, default, tried):
    records = [record(name) for name in FINDING_NAMES]
    probabilities = np.full((10, 14), 0.01)
    probabilities[:, 3 : 3 + findings_positive] = 0.7
    name, counts = choose_default(records, probabilities, np.zeros((10, 14)), "made")
    assert (name, list(counts)) == (default, tried)


@pytest.fixture
def predicted():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (FILMS, 14)).astype(float)
    return Predicted("many", (labels - 0.5) * 3 + generator.normal(size=labels.shape), labels)


def test_a_finding_uses_the_first_set_with_enough_radiographs(predicted):
    few = Predicted("few", predicted.logits[:30], predicted.labels[:30].copy())
    few.labels[:, 5] = 0
    few.labels[:3, 5] = 1
    decided = decide_findings([few, predicted], [], {}, {"Fracture": "untrained"}, {"Lung Lesion"})
    by_name = {record.name: record for record in decided.records}
    assert {point.dataset for point in by_name["Edema"].operating_points.values()} == {"many"}
    assert by_name["Fracture"].operating_points == {}
    assert (by_name["Lung Lesion"].status, by_name["Edema"].status) == ("derived", "weak")


def test_an_earlier_quality_stays_where_a_new_set_is_too_small():
    earlier = Quality(dataset="old", positives=33, negatives=400, auroc=0.9, auroc_interval=(0.8, 0.95))
    assert held_out_qualities([], {"Edema": earlier}) == {"Edema": earlier}
