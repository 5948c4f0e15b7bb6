"""View, date and the hash of the patient, which only comparisons read."""

import pytest
from pydicom import Dataset

from tests.unit.imaging.films import decode, film


def facts(**attributes):
    return decode(film(**attributes)).facts


@pytest.mark.parametrize(
    ("position", "view"),
    [("PA", "PA"), ("AP", "AP"), ("AP_PORTABLE", "AP"), ("POSTEROANTERIOR", "PA"), ("LL", "lateral"),
     ("LEFT LATERAL DECUBITUS", None), ("AP LLD", None), ("RAO", None), ("PA AP", None), ("XYZ", None)],
)  # fmt: skip
def test_the_view_is_that_of_the_view_position(position, view):
    assert facts(ViewPosition=position).projection == view


@pytest.mark.parametrize(
    ("code", "view"),
    [("272479007", "PA"), ("R-10206", "AP"), ("399348003", "AP"), ("399067008", "lateral"), ("1", None)],
)
def test_without_a_view_position_the_view_is_that_of_the_code(code, view):
    item = Dataset()
    item.CodeValue = code
    assert facts(ViewPosition="", ViewCodeSequence=[item], BodyPartExamined="CHEST PA").projection == view


def test_without_both_the_view_is_that_of_the_body_part():
    assert facts(ViewPosition="", BodyPartExamined="CHEST_AP").projection == "AP"
    assert facts(ViewPosition="").projection is None


@pytest.mark.parametrize(
    ("attributes", "acquired"),
    [
        ({"AcquisitionDateTime": "20240102030405.678+0100", "AcquisitionDate": "20200101"}, "20240102030405"),
        ({"AcquisitionDateTime": "2024010203045"}, "202401020304"),
        ({"AcquisitionDate": "20240102", "AcquisitionTime": "0304", "StudyDate": "20200101"}, "202401020304"),
        ({"AcquisitionDate": "2024.01.02", "AcquisitionTime": "03:04:05"}, "20240102030405"),
        ({"AcquisitionDate": "00000000", "StudyDate": "20240102", "StudyTime": "x"}, "20240102"),
        ({"StudyDate": "20241332"}, None),
        ({}, None),
    ],
)
def test_the_date_is_that_of_the_acquisition_or_else_of_the_study(attributes, acquired):
    assert facts(**attributes).acquired == acquired


def test_the_patient_is_a_hash_that_is_equal_for_equal_identifiers():
    one, padded, other = facts(PatientID="7431"), facts(PatientID=" 7431 "), facts(PatientID="7432")
    assert one.patient == padded.patient != other.patient
    assert "7431" not in one.patient
    assert facts(PatientID="").patient is None
