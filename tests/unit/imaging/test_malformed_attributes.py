"""Optional attributes that cannot be read: never a refusal, always a warning that names them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NotAChestRadiograph
from tests.malformed_radiographs import film_with
from tests.unit.imaging.films import codes, decode, film, pixels_of_rg1, with_bytes

OPTIONAL = {
    "NumberOfFrames": "Number of Frames",
    "WindowCenter": "Window Center",
    "WindowWidth": "Window Width",
    "RescaleSlope": "Rescale Slope",
    "RescaleIntercept": "Rescale Intercept",
    "PixelPaddingValue": "Pixel Padding Value",
    "PixelSpacing": "Pixel Spacing",
    "PixelAspectRatio": "Pixel Aspect Ratio",
}
TEXTS = (
    *("VOILUTFunction", "PresentationLUTShape", "ViewPosition", "PatientOrientation", "ShutterShape"),
    *("PixelPaddingRangeLimit", "SpecificCharacterSet", "PresentationIntentType"),
)
UNREADABLE = [b"NaN", b"inf", b"abc", b"1,000", b"1_0", b"--5", b"1 2", b"0x10", b"1.2.3", b"1e300"]


def details(radiograph) -> str:
    return " ".join(warning.detail for warning in radiograph.warnings if warning.code == "malformed_attribute")


@pytest.mark.parametrize("value", UNREADABLE)
@pytest.mark.parametrize("keyword", OPTIONAL)
def test_an_unreadable_number_is_left_out_with_a_warning_that_names_it(keyword, value):
    radiograph = decode(with_bytes(film(), keyword, b"DS", value))
    assert f"{OPTIONAL[keyword]} " in details(radiograph)
    assert "ignored" in details(radiograph)


@pytest.mark.parametrize(("written", "meant"), [(b"15000,0", 15000), (b"15000,5", 15000.5), (b"+1.5E4", 15000)])
def test_an_unambiguous_number_is_read(written, meant):
    radiograph = decode(with_bytes(film(), "WindowCenter", b"DS", written))
    assert np.array_equal(radiograph.pixels, decode(film(WindowCenter=meant)).pixels)


def test_a_decimal_comma_is_read_with_a_warning():
    assert "Window Center (0028,1050) is malformed and was corrected" in details(
        decode(with_bytes(film(), "WindowCenter", b"DS", b"15000,0"))
    )


def test_one_frame_is_one_frame_however_it_is_written():
    assert decode(with_bytes(film(), "NumberOfFrames", b"IS", b"1.0")).pixels.shape == (326, 307)


@pytest.mark.parametrize("function", [b"", b"LINEAR_", b"\xff\xfe", b"SIGMOID\\LINEAR"])
def test_an_unknown_voi_function_is_no_refusal(function):
    assert decode(with_bytes(film(), "VOILUTFunction", b"CS", function)).pixels.shape == (326, 307)


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("WindowCenter", b"SH", b"15000"),
        ("WindowCenter", b"FD", np.float64(15000).tobytes()),
        ("WindowCenter", b"US", np.uint16(15000).tobytes()),
        ("Rows", b"IS", b"326"),
        ("NumberOfFrames", b"US", np.uint16(1).tobytes()),
        ("PixelPaddingValue", b"IS", b"0"),
    ],
)
def test_another_value_representation_is_read(keyword, vr, value):
    expected = decode(film(PixelPaddingValue=0) if keyword == "PixelPaddingValue" else film())
    assert np.array_equal(decode(with_bytes(film(), keyword, vr, value)).pixels, expected.pixels)


def test_a_binary_value_of_a_wrong_length_is_left_out():
    assert "Pixel Padding Value" in details(decode(with_bytes(film(), "PixelPaddingValue", b"US", b"\0\0\0")))


@given(
    st.sampled_from([*OPTIONAL, *TEXTS]),
    st.sampled_from([b"DS", b"IS", b"US", b"SS", b"CS", b"LO", b"FD", b"UI", b"AT"]),
    st.binary(max_size=24),
)
def test_no_optional_attribute_makes_a_film_unreadable(keyword, vr, value):
    try:
        assert decode(with_bytes(film(), keyword, vr, value)).pixels.size
    except NotAChestRadiograph as refusal:  # a readable value can still leave nothing to see, or mean several frames
        told = refusal.detail
        assert "same value" in told or "frames" in told


@pytest.mark.parametrize("padding", [{"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 65535}])
def test_a_padding_of_the_whole_image_is_not_used(padding):
    assert np.array_equal(decode(film(**padding)).pixels, decode(film()).pixels)


@pytest.mark.parametrize(("vr", "value"), [(b"SS", -1), (b"US", 65535)])
def test_padding_of_unsigned_pixels_is_unsigned(vr, value):
    padded = pixels_of_rg1().copy()
    padded[:40] = 65535
    dtype = np.int16 if vr == b"SS" else np.uint16
    dataset = film(padded, BitsStored=16, HighBit=15, WindowCenter=None, WindowWidth=None)
    radiograph = decode(with_bytes(dataset, "PixelPaddingValue", vr, np.array(value, dtype).tobytes()))
    assert (radiograph.pixels[:40] == 0).all()
    assert radiograph.pixels[40:].max() == 1
    assert radiograph.pixels[40:].min() == 0


@pytest.mark.parametrize(("vr", "value"), [(b"SS", -1), (b"US", 255)])
def test_padding_of_8_bit_pixels_has_8_bits(vr, value):
    padded = (pixels_of_rg1() >> 8).astype(np.uint8)
    padded[:40] = 255
    dtype = np.int16 if vr == b"SS" else np.uint16
    dataset = film(padded, BitsStored=8, HighBit=7, WindowCenter=None, WindowWidth=None)
    radiograph = decode(with_bytes(dataset, "PixelPaddingValue", vr, np.array(value, dtype).tobytes()))
    assert (radiograph.pixels[:40] == 0).all()
    assert radiograph.pixels[40:].max() == 1


@pytest.mark.parametrize(("vr", "value"), [(b"SS", -2000), (b"US", 65536 - 2000), (b"US", 4096 - 2000)])
def test_padding_of_signed_pixels_is_signed(vr, value):
    padded = (film_12_bit() - 1000).astype(np.int16)
    padded[:40] = -2000
    dtype = np.int16 if vr == b"SS" else np.uint16
    dataset = film(padded, BitsStored=12, HighBit=11, WindowCenter=None, WindowWidth=None)
    radiograph = decode(with_bytes(dataset, "PixelPaddingValue", vr, np.array(value, dtype).tobytes()))
    assert (radiograph.pixels[:40] == 0).all()
    assert (radiograph.pixels[40:].min(), radiograph.pixels[40:].max()) == (0, 1)


def film_12_bit() -> np.ndarray:
    return (pixels_of_rg1() >> 4).astype(np.int32)


def test_a_window_is_not_applied_to_grays_stored_as_colour():
    gray = (pixels_of_rg1() >> 7).astype(np.uint8)
    attributes = {"PhotometricInterpretation": "RGB", "BitsStored": 8, "HighBit": 7}
    colour = film(np.stack([gray] * 3, axis=2), WindowCenter=2048, WindowWidth=4096, **attributes)
    plain = film(np.stack([gray] * 3, axis=2), WindowCenter=None, WindowWidth=None, **attributes)
    assert np.array_equal(decode(colour).pixels, decode(plain).pixels)


@pytest.mark.parametrize("sop_uid", ["1.2.826.0.1.3680043.8.498.01.7", "1.02.003"])
def test_uids_with_leading_zeros_are_kept(sop_uid):
    assert decode(film(SOPInstanceUID=sop_uid)).facts.sop_instance_uid == sop_uid


def test_a_low_resolution_is_warned_about():
    assert codes(decode(film())) == set()
    assert codes(decode(film(np.ascontiguousarray(film_12_bit()[:255].astype(np.uint16))))) == {"low_resolution"}


@pytest.mark.parametrize("vr", ["OB", "SQ", "UN", "UT", "US", "DS"])
def test_a_character_set_of_another_value_representation_leaves_the_others_readable(vr):
    radiograph = decode(film_with({0x0008_0005: (vr, b"abc")}))
    assert (radiograph.facts.modality, radiograph.facts.body_part) == ("DX", "CHEST")
