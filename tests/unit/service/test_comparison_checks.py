"""Which radiographs can be compared, and what is warned about."""

from dataclasses import replace

import pytest

from app.errors import DifferentPatients, DifferentViews
from app.imaging.radiograph import ImageFacts
from app.service.comparison.checks import pair_warnings
from app.service.comparison.results import Pair

FILM = ImageFacts("dicom", 1, 1, projection="PA", patient="7431", acquired="20240102")


def codes(current=FILM, prior=FILM):
    return {warning.code for warning in pair_warnings(Pair(current, prior))}


def test_two_radiographs_of_one_patient_and_view_are_compared_without_a_warning():
    assert codes() == set()


def test_radiographs_of_different_patients_are_refused_without_their_identifiers():
    with pytest.raises(DifferentPatients) as refusal:
        codes(prior=replace(FILM, patient="7432", projection="AP"))
    assert "743" not in refusal.value.detail


@pytest.mark.parametrize("view", ["AP", "lateral"])
def test_another_view_is_refused(view):
    with pytest.raises(DifferentViews, match=f"PA and the prior one {view}"):
        codes(prior=replace(FILM, projection=view))


def test_what_is_unknown_is_warned_about():
    picture = ImageFacts("png", 1, 1)
    assert codes(prior=picture) == codes(current=picture) == {"patient_not_checked", "view_unknown"}


@pytest.mark.parametrize(
    ("current", "prior", "is_later"),
    [("20240102", "20240103", True), ("20240102", "20240102", False), ("20240103", "20240102", False),
     ("20240102", "202401020304", False), ("202401020304", "202401020305", True), (None, "20240102", False)],
)  # fmt: skip
def test_a_prior_radiograph_with_a_later_date_is_warned_about(current, prior, is_later):
    found = codes(replace(FILM, acquired=current), replace(FILM, acquired=prior))
    assert found == ({"prior_is_later"} if is_later else set())
