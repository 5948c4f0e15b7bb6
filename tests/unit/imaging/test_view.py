"""Laterals, mirrored and rotated radiographs, and images for processing are recognised by their attributes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, uid

from tests.unit.imaging.films import codes, decode, film


@pytest.mark.parametrize(
    "view",
    ["LL", "RL", "LAT", "LEFT LATERAL", "LEFT_LATERAL", "lateral", "RIGHT-LATERAL", "LLAT", "PROFIL", "SEITLICH"],
)
def test_lateral_views_are_recognised_by_words(view):
    assert codes(decode(film(ViewPosition=view))) == {"lateral_view"}


@pytest.mark.parametrize("view", ["PA", "AP", "LLD", "LEFT LATERAL DECUBITUS", "RAO", "LATIN", "PLATE"])
def test_other_views_are_not_lateral(view):
    assert codes(decode(film(ViewPosition=view))) == set()


@pytest.mark.parametrize("code", ["399067008", "399173006", "399198007", "R-102CD", "R-10232", "R-10236"])
def test_lateral_views_are_recognised_by_code(code):
    item = Dataset()
    item.CodeValue = code
    assert codes(decode(film(ViewPosition="", ViewCodeSequence=[item]))) == {"lateral_view"}


@pytest.mark.parametrize("orientation", [["A", "F"], ["P", "F"], ["AL", "F"], ["P", "FR"], ["F", "A"]])
def test_lateral_views_are_recognised_by_orientation(orientation):
    assert codes(decode(film(PatientOrientation=orientation))) == {"lateral_view"}


def test_lateral_views_are_recognised_by_the_body_part_where_nothing_else_is_given():
    assert codes(decode(film(ViewPosition="", BodyPartExamined="CHEST LAT"))) == {"lateral_view"}
    assert codes(decode(film(ViewPosition="", BodyPartExamined="CHEST PA LAT"))) == set()


@pytest.mark.parametrize("orientation", [["R", "F"], ["L", "H"], ["F", "L"], ["H", "R"]])
def test_a_mirrored_orientation_is_warned_about(orientation):
    assert codes(decode(film(PatientOrientation=orientation))) == {"mirrored"}


@pytest.mark.parametrize("orientation", [["R", "H"], ["F", "R"], ["H", "L"]])
def test_a_rotated_orientation_is_warned_about(orientation):
    assert codes(decode(film(PatientOrientation=orientation))) == {"rotated"}


@pytest.mark.parametrize("orientation", [["L", "F"], ["LP", "FA"], "", ["L"], ["L", "F", "X"], ["", ""], ["X", "Y"]])
def test_an_upright_or_unknown_orientation_is_not(orientation):
    assert codes(decode(film(PatientOrientation=orientation))) == set()


@given(st.text(alphabet="LRAPHFX", max_size=4), st.text(alphabet="LRAPHFX", max_size=4))
def test_at_most_one_warning_is_about_the_view(row, column):
    assert len(codes(decode(film(PatientOrientation=[row, column])))) <= 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"PresentationIntentType": "for_processing"},
        {"SOPClassUID": uid.DigitalXRayImageStorageForProcessing},
    ],
)
def test_an_image_for_processing_is_warned_about(attributes):
    assert codes(decode(film(**attributes))) == {"for_processing"}


def test_an_image_for_presentation_is_not():
    assert codes(decode(film(PresentationIntentType="FOR PRESENTATION"))) == set()
