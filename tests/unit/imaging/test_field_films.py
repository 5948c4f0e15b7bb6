"""Films with the faults of the field, from the reference data: what is read, and what is warned about."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from app.errors import ImageError, NotAChestRadiograph
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits, Radiograph

pytestmark = pytest.mark.reference_data

SIZE = (325, 306)
SAME_PICTURE = {
    "F07-bodypart-CHEST_AP_PORTABLE.dcm": set(),
    "F07-bodypart-CHEST_PA.dcm": set(),
    "F07-bodypart-TORAX-accent.dcm": set(),
    "F07b-bodypart-CHEST_TO_PORTABLE.dcm": set(),
    "F07b-bodypart-POITRINE.dcm": set(),
    "F09-predict-422-NumberOfFrames-1-0.dcm": {"malformed_attribute"},
    "F09-predict-422-WC-comma-15000-0.dcm": {"malformed_attribute"},
    "F18-SV1-20-zero-bytes-after-EOI.dcm": set(),
    "F18-wrong-BOT-offset.dcm": set(),
    "F20-view-LEFT_LATERAL.dcm": {"lateral_view"},
    "F21-sop-uid-leading-zero.dcm": set(),
}
SIMILAR_PICTURE = {
    "F13-voi-lut-says-16-holds-12.dcm": {"voi_lut_range"},
    "F14-MPO-phone-photo-with-preview.jpg": set(),
    "F14-png-iTXt-XMP-3MB-compressed.png": set(),
    "F14-png16-RGB-12-bit-unscaled.png": set(),
    "F15-rgb-gray-film-leftover-window.dcm": set(),
    "F16-every-second-column-aspect-2-1.dcm": {"low_resolution", "pixel_aspect"},
}


def decode(shared: Path, name: str) -> Radiograph:
    return decode_image((shared / "field" / name).read_bytes(), DecodeLimits())


def codes(radiograph: Radiograph) -> set[str]:
    return {warning.code for warning in radiograph.warnings}


@pytest.fixture(scope="module")
def intact(shared: Path) -> Radiograph:
    return decode(shared, "F01-gsps-of-monochrome1.dcm")


@pytest.mark.parametrize(("name", "expected"), SAME_PICTURE.items())
def test_the_fault_does_not_change_the_picture(shared, intact, name, expected):
    radiograph = decode(shared, name)
    assert np.array_equal(radiograph.pixels, intact.pixels)
    assert codes(radiograph) == expected


@pytest.mark.parametrize(("name", "expected"), SIMILAR_PICTURE.items())
def test_the_fault_hardly_changes_the_picture(shared, intact, name, expected):
    radiograph = decode(shared, name)
    assert radiograph.pixels.shape == SIZE
    assert np.corrcoef(radiograph.pixels.ravel(), intact.pixels.ravel())[0, 1] > 0.95
    assert abs(radiograph.pixels.mean() - intact.pixels.mean()) < 0.05
    assert codes(radiograph) == expected


def test_padding_is_black_and_the_rest_spans_the_range(shared):
    pixels = decode(shared, "F12-padding-SS-on-unsigned-no-window.dcm").pixels
    assert (pixels == 0).mean() == pytest.approx(9780 / pixels.size, abs=0.001)
    assert np.unique(pixels)[1] < 0.1
    assert pixels.max() == 1


def test_an_image_for_processing_is_warned_about(shared):
    assert codes(decode(shared, "F19-dx-for-processing.dcm")) == {"for_processing"}


@pytest.mark.parametrize(
    ("name", "named"), [("F08-bodypart-cyrillic-head.dcm", "body part ГОЛОВА"), ("F14-8x8.png", "too small")]
)
def test_what_is_not_a_chest_radiograph_is_refused_and_named(shared, name, named):
    with pytest.raises(NotAChestRadiograph, match=named):
        decode(shared, name)


def test_no_file_of_the_field_ends_otherwise(shared):
    for path in sorted((shared / "field").iterdir()):
        with suppress(ImageError):
            assert decode_image(path.read_bytes(), DecodeLimits()).pixels.ndim == 2
