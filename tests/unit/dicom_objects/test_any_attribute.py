"""No value of any attribute of a radiograph keeps its results from being made, and identifiers stay as they are."""

from io import BytesIO

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.tag import Tag

from app.dicom_objects.source_image import read_source
from app.imaging.dicom.file import silence
from app.imaging.radiograph import DecodeLimits
from tests.malformed_radiographs import ATTRIBUTES, CONSEQUENTIAL, changes_of, film_with
from tests.unit.dicom_objects.reports import all_objects

FEW, MANY = 50, 20_000
NOT_EXPLAINED = (Phase.reuse, Phase.generate, Phase.shrink)
SIZE = (Tag("Rows"), Tag("Columns"))  # a report needs them, and so does decoding, before it
REFERRED = tuple(Tag(f"{level}UID") for level in ("StudyInstance", "SeriesInstance", "SOPInstance", "SOPClass"))
IDENTIFIERS = tuple(
    Tag(name)
    for name in ("PatientID", "PatientName", "AccessionNumber", "StudyInstanceUID", "StudyID", "PatientBirthDate")
)
ANY = st.one_of(changes_of(sorted(ATTRIBUTES.keys() - {*SIZE, *REFERRED})), changes_of(CONSEQUENTIAL))


def check(changes) -> None:
    film = film_with(changes)
    with silence():
        source = read_source(film, DecodeLimits())
        for made in all_objects(film).values():
            written = dcmread(BytesIO(made))
            for tag in IDENTIFIERS:
                original, copy = source.get_item(tag), written.get_item(tag)
                if original.VR in {"LO", "SH", "PN", "UI", "DA", "UN"}:
                    assert (copy.value or b"").rstrip(b" \0") == (original.value or b"").rstrip(b" \0")


@given(ANY)
@settings(max_examples=FEW, phases=NOT_EXPLAINED, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_of_any_attribute_leaves_all_objects_possible(changes):
    check(changes)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@given(ANY)
@settings(max_examples=MANY, phases=NOT_EXPLAINED, suppress_health_check=[HealthCheck.too_slow])
def test_many_values_of_any_attribute_leave_all_objects_possible(changes):
    check(changes)
