"""Decisions that do not contradict each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import FindingRecord, OperatingPoint
from app.service.decisions import consistent, score
from app.service.operating_points import PointInForce
from app.service.results import Score


def decided(**positives):
    """Scores of all findings; those not named are negative."""
    return tuple(
        Score(name, "validated", 0.5, 0.0, 0.5, positives.get(name.replace(" ", "_"), False), "balanced")
        for name in FINDING_NAMES
    )


def no_finding(found):
    return next(item for item in found if item.name == "No Finding")


def test_no_finding_is_negative_beside_a_disease_which_it_names():
    found = no_finding(consistent(decided(No_Finding=True, Edema=True, Pneumonia=True)))
    assert (found.positive, found.contradicted_by) == (False, ("Edema", "Pneumonia"))
    assert found.probability == 0.5


@pytest.mark.parametrize(
    ("positives", "expected"),
    [
        ({"No_Finding": True}, True),
        ({"No_Finding": True, "Support_Devices": True}, True),
        ({"No_Finding": True, "Edema": None}, True),
        ({"Edema": True}, False),
        ({"No_Finding": None, "Edema": True}, None),
    ],
)
def test_no_finding_is_otherwise_as_its_own_probability_decides(positives, expected):
    found = no_finding(consistent(decided(**positives)))
    assert (found.positive, found.contradicted_by) == (expected, ())


@given(st.lists(st.sampled_from([True, False, None]), min_size=14, max_size=14))
def test_only_no_finding_ever_changes(positives):
    before = tuple(
        Score(name, "validated", 0.5, 0.0, 0.5, value) for name, value in zip(FINDING_NAMES, positives, strict=True)
    )
    after = consistent(before)
    assert after[1:] == before[1:]
    assert not (after[0].positive and any(item.positive for item in after[1:-1]))


@pytest.mark.parametrize(("decides", "positive"), [(True, True), (False, None)])
def test_a_probability_at_the_threshold_is_positive_where_the_point_decides(decides, positive):
    record = FindingRecord(name="Edema", status="weak", operating_points={"balanced": OperatingPoint(threshold=0.25)})
    found = score(record, -1.1, 0.25, PointInForce("balanced", 0.25, "manifest", decides))
    assert (found.positive, found.threshold, found.operating_point) == (positive, 0.25, "balanced")


def test_an_untrained_finding_has_no_values():
    found = score(FindingRecord(name="Edema", status="untrained"), 3.0, 0.95, None)
    assert {found.probability, found.logit, found.threshold, found.positive, found.operating_point} == {None}
