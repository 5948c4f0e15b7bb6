"""The distribution of answers that drift is told by."""

import pytest
import torch
from pydantic import ValidationError

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import REGIONS
from app.patchnet.reference import evidence_shares, measure_reference, region_of


def test_every_patch_lies_in_one_region():
    assert region_of(5).reshape(5, 5).tolist() == [
        [0, 0, 0, 0, 0], [0, 1, 2, 2, 0], [0, 3, 4, 4, 0], [0, 3, 4, 4, 0], [0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert region_of(1).tolist() == [0]


def test_only_evidence_for_a_served_finding_counts():
    logits = torch.full((16, 3), -1.0)
    logits[5, 0] = 3.0  # row 1, column 1
    logits[0, 0] = 1.0
    logits[10, 2] = 100.0  # of a finding that is not served
    assert evidence_shares(logits, [0, 1]) == pytest.approx((0.25, 0.75, 0, 0, 0))
    assert evidence_shares(logits, [1]) is None


def test_the_reference_counts_films_by_tenths():
    films = [torch.full((4, 14), value) for value in (-5.0, -5.0, 0.1, 5.0)]
    reference = measure_reference("valid", films, [2])
    assert reference.probability_tenths == {FINDING_NAMES[2]: (0.5, 0, 0, 0, 0, 0.25, 0, 0, 0, 0.25)}
    assert reference.evidence_regions == (1, 0, 0, 0, 0)
    assert (reference.dataset, reference.films) == ("valid", 4)


def test_no_evidence_is_no_reference():
    with pytest.raises(ValueError, match="no radiograph has positive evidence"):
        measure_reference("valid", [torch.full((4, 14), -1.0)], [0])


@pytest.mark.parametrize(
    "change",
    [
        {"evidence_regions": (0.5, 0.5)},
        {"evidence_regions": (0.5,) * len(REGIONS)},
        {"probability_tenths": {"Edema": (1.0,)}},
        {"probability_tenths": {"Flu": (0.1,) * 10}},
    ],
)
def test_a_reference_that_does_not_fit_is_refused(change):
    reference = measure_reference("valid", [torch.full((4, 14), 1.0)], [0])
    with pytest.raises(ValidationError):
        type(reference).model_validate(reference.model_dump() | change)
