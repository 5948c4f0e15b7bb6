"""The grayscale pipeline: each step alone, against pydicom's implementation, and the laws of the whole."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from app.errors import NotAChestRadiograph
from app.imaging.decode import decode_image
from app.imaging.dicom.attributes import Attributes
from app.imaging.dicom.transforms import modality_transform, voi_transform
from app.imaging.grayscale import (
    FullRange,
    LookupTable,
    Rescale,
    Window,
    apply_modality,
    apply_polarity,
    apply_voi,
    gray_of_rgb,
)
from app.imaging.radiograph import DecodeLimits
from tests import factories as make

LIMITS = DecodeLimits()
FINITE = st.floats(-5000, 5000)


def lut(entries: list[int], first: int = 0, bits: int = 8, kind: str = "US") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", kind, [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def decode(stored: np.ndarray | None = None, bits: int = 12, **attributes: object) -> np.ndarray:
    return decode_image(make.chest_dicom(stored, bits, **attributes), LIMITS).pixels


@given(st.floats(-3000, 3000), st.floats(1.001, 5000), st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
def test_windows_agree_with_pydicom(center, width, function):
    values = np.arange(-4096, 4096, 7, dtype=np.float64)
    dataset = make.chest_dataset(WindowCenter=round(center, 3), WindowWidth=round(width, 3), VOILUTFunction=function)
    window = voi_transform(Attributes(dataset))
    with np.errstate(over="ignore"):  # pydicom's own exponential
        expected = apply_voi_lut(values, dataset) / (2.0**dataset.BitsStored - 1)
    assert np.allclose(apply_voi(values, window), expected, atol=1e-9)


@given(FINITE, st.floats(1, 5000), st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
def test_windows_never_decrease_and_stay_in_range(center, width, function):
    shown = apply_voi(np.linspace(-9000, 9000, 997), Window(center, width, function))
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown) >= 0).all()


def test_a_linear_window_of_width_one_is_a_step():
    values = np.array([9.0, 9.5, 9.51, 10.0])
    assert apply_voi(values, Window(10, 1)).tolist() == [0, 0, 1, 1]


def test_a_narrow_sigmoid_does_not_overflow():
    values = np.array([-1e6, 0, 1e6])
    assert apply_voi(values, Window(0, 0.001, "SIGMOID")).tolist() == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    ("width", "function", "valid"),
    [
        (1, "LINEAR", True),
        (0.5, "LINEAR", False),
        (0.5, "LINEAR_EXACT", True),
        (0, "LINEAR_EXACT", False),
        (0, "SIGMOID", False),
        (float("nan"), "SIGMOID", False),
    ],
)
def test_allowed_widths_depend_on_the_function(width, function, valid):
    assert Window(0, width, function).is_valid is valid


def test_inputs_outside_a_table_take_its_ends():
    table = LookupTable(10, 8, np.array([50.0, 100.0, 200.0]))
    assert apply_modality(np.array([-5.0, 10, 11, 12, 99]), table).tolist() == [50, 50, 100, 200, 200]


def test_a_table_whose_entries_exceed_its_bits_does_not_leave_the_range():
    table = LookupTable(0, 8, np.array([0.0, 255.0, 1020.0]))
    assert apply_voi(np.array([0.0, 1, 2]), table).tolist() == [0, 0.25, 1]


def test_the_full_range_ends_at_black_and_white():
    assert apply_voi(np.array([-3.0, 0, 7]), FullRange(-3, 7)).tolist() == pytest.approx([0, 0.3, 1])


def test_inversion_maps_black_to_white():
    assert apply_polarity(np.array([0.0, 0.25]), inverted=True).tolist() == [1, 0.75]
    assert apply_polarity(np.array([0.0, 0.25]), inverted=False).tolist() == [0, 0.25]


def test_the_modality_table_of_a_real_file_agrees_with_pydicom():
    dataset = dcmread(BytesIO(make.example("mlut_18.dcm")))
    stored = dataset.pixel_array
    ours = apply_modality(stored.astype(np.float64), modality_transform(Attributes(dataset)))
    assert np.array_equal(ours, apply_modality_lut(stored, dataset))


def test_the_voi_table_of_a_real_file_agrees_with_pydicom():
    dataset = dcmread(BytesIO(make.example("vlut_04.dcm")))
    stored = dataset.pixel_array
    ours = apply_voi(stored.astype(np.float64), voi_transform(Attributes(dataset)))
    assert np.allclose(ours * 65535, apply_voi_lut(stored, dataset))


def test_rescale_is_applied_before_the_window():
    stored = make.film()
    shown = decode(stored, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000, WindowWidth=4001)
    expected = np.clip((stored * 2.0 - 1000 - 2999.5) / 4000 + 0.5, 0, 1)
    assert np.allclose(shown, expected, atol=1e-6)


def test_a_rescale_slope_of_zero_counts_as_none():
    assert modality_transform(Attributes(make.chest_dataset(RescaleSlope=0, RescaleIntercept=5))) == Rescale(1, 5)


def test_a_voi_table_is_used_before_a_window():
    entries = [0] * 2000 + [255] * 2096
    shown = decode(VOILUTSequence=[lut(entries)], WindowCenter=100, WindowWidth=10)
    assert np.array_equal(shown, (make.film() >= 2000).astype(np.float32))


def test_the_first_of_several_windows_is_used():
    both = decode(WindowCenter=[1500, 100], WindowWidth=[2000, 10])
    assert np.array_equal(both, decode(WindowCenter=1500, WindowWidth=2000))


@pytest.mark.parametrize("missing", ["WindowCenter", "WindowWidth"])
def test_half_a_window_is_no_window(missing):
    attributes = {"WindowCenter": 1500, "WindowWidth": 2000, missing: ""}
    assert np.array_equal(decode(**attributes), decode())


def test_a_window_of_forbidden_width_is_ignored_with_a_warning():
    radiograph = decode_image(make.chest_dicom(WindowCenter=1500, WindowWidth=0), LIMITS)
    assert np.array_equal(radiograph.pixels, decode())
    assert "window_ignored" in [warning.code for warning in radiograph.warnings]


def test_without_voi_the_stored_range_is_shown_not_that_of_the_bits():
    shown = decode(make.film() // 4)
    assert (shown.min(), shown.max()) == (0, 1)


def test_a_negative_slope_still_shows_the_whole_range():
    assert np.allclose(decode(RescaleSlope=-1, RescaleIntercept=4095), 1 - decode(), atol=1e-6)


def test_monochrome1_is_inverted_after_voi():
    attributes = {"WindowCenter": 1000, "WindowWidth": 1500}
    shown = decode(PhotometricInterpretation="MONOCHROME1", **attributes)
    assert np.allclose(shown, 1 - decode(**attributes), atol=1e-6)


def test_presentation_shape_inverse_inverts():
    assert np.allclose(decode(PresentationLUTShape="INVERSE"), 1 - decode(), atol=1e-6)


def test_monochrome1_with_shape_inverse_is_inverted_once():
    shown = decode(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert np.allclose(shown, 1 - decode(), atol=1e-6)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1501, "WindowWidth": 2000}])
@pytest.mark.parametrize("padding", [None, 17])
def test_monochrome1_and_its_inverted_monochrome2_twin_are_equal(window, padding):
    stored = make.film()
    stored[:7] = 17
    twin = 4095 - stored
    padded = {} if padding is None else {"PixelPaddingValue": padding}
    mirrored = {} if padding is None else {"PixelPaddingValue": 4095 - padding}
    if window:  # LINEAR is not symmetric around its center but around center - 0.5
        mirrored |= {"WindowCenter": 4096 - window["WindowCenter"], "WindowWidth": window["WindowWidth"]}
    first = decode(stored, PhotometricInterpretation="MONOCHROME1", **padded, **window)
    second = decode(twin, PhotometricInterpretation="MONOCHROME2", **mirrored)
    assert np.allclose(first, second, atol=1e-6)


def test_the_example_chest_equals_its_inverted_monochrome2_twin():
    dataset = dcmread(BytesIO(make.example("RG1_UNCR.dcm")))
    stored = np.frombuffer(dataset.PixelData, dtype="<u2")
    twin = dcmread(BytesIO(make.example("RG1_UNCR.dcm")))
    twin.PixelData = (32767 - stored).astype("<u2").tobytes()
    twin.PhotometricInterpretation = "MONOCHROME2"
    twin.WindowCenter = 32768 - float(dataset.WindowCenter)
    stream = BytesIO()
    twin.save_as(stream)
    first = decode_image(make.example("RG1_UNCR.dcm"), LIMITS).pixels
    second = decode_image(stream.getvalue(), LIMITS).pixels
    assert np.abs(first - second).max() < 1e-3


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_outside_the_range(photometric, limit):
    stored = make.film()
    stored[:7, :] = 3
    more = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    shown = decode(stored, PixelPaddingValue=3, PhotometricInterpretation=photometric, **more)
    assert (shown[:7] == 0).all()
    assert (shown[7:].min(), shown[7:].max()) == (0, 1)


def test_a_padding_value_outside_the_pixels_changes_nothing():
    assert np.array_equal(decode(PixelPaddingValue=4095), decode())


def test_a_film_that_is_constant_but_for_padding_is_refused():
    stored = np.full((67, 71), 100, dtype=np.uint16)
    stored[:5] = 0
    with pytest.raises(NotAChestRadiograph, match="same value"):
        decode(stored, PixelPaddingValue=0)


@pytest.mark.parametrize("attributes", [{}, {"PixelPaddingValue": 0}])
def test_a_constant_film_is_refused(attributes):
    with pytest.raises(NotAChestRadiograph, match="same value"):
        decode(np.zeros((67, 71), dtype=np.uint16), **attributes)


def test_a_film_whose_window_misses_it_is_refused():
    with pytest.raises(NotAChestRadiograph, match=r"all displayed pixels .* by Window Center and Window Width;"):
        decode(WindowCenter=20000, WindowWidth=10)


def test_a_signed_first_input_of_a_table_is_read_as_signed():
    stored = (make.film().astype(np.int32) - 2048).astype(np.int16)
    entries = list(range(4096))
    shown = decode(stored, VOILUTSequence=[lut(entries, first=-2048, bits=12, kind="SS")])
    assert np.allclose(shown, (stored + 2048.0) / 4095, atol=1e-6)


def test_an_unsigned_descriptor_of_signed_pixels_is_read_as_signed():
    stored = (make.film().astype(np.int32) - 2048).astype(np.int16)
    shown = decode(stored, VOILUTSequence=[lut(list(range(4096)), first=65536 - 2048, bits=12)])
    assert np.allclose(shown, (stored + 2048.0) / 4095, atol=1e-6)


def test_a_table_of_65536_entries_says_zero():
    item = lut(list(range(65536)), bits=16)
    assert item.LUTDescriptor[0] == 0
    stored = make.film(bits=16)
    assert np.allclose(decode(stored, 16, VOILUTSequence=[item]), stored / 65535, atol=1e-6)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_a_table_in_bytes_is_read_in_the_order_of_the_file(order):
    from pydicom import uid

    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "OW", np.arange(4096, dtype=order).tobytes())
    syntax = uid.ExplicitVRLittleEndian if order == "<u2" else uid.ExplicitVRBigEndian
    data = make.write_dicom(make.chest_dataset(VOILUTSequence=[item]), syntax)
    assert np.allclose(decode_image(data, LIMITS).pixels, make.film() / 4095, atol=1e-6)


def test_entries_of_8_bits_may_be_packed_in_pairs():
    packed = np.arange(256, dtype=np.uint8).view("<u2").tolist()
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 8])
    item.add_new("LUTData", "US", packed)
    stored = make.film_8bit()
    assert np.allclose(decode(stored, 8, VOILUTSequence=[item]), stored / 255, atol=1e-6)


def test_a_table_of_one_entry_is_a_blank_film():
    with pytest.raises(NotAChestRadiograph, match=r"all displayed pixels .* by VOI LUT Sequence;"):
        decode(VOILUTSequence=[lut([7])])


def test_a_rescale_that_leaves_one_value_is_refused_by_its_name():
    with pytest.raises(NotAChestRadiograph, match="by Rescale Slope and Window Center and Window Width;"):
        decode(RescaleSlope="0.0001", RescaleIntercept="0", WindowCenter=20000, WindowWidth=10)


def short_lut() -> Dataset:
    item = lut([1, 2, 3, 4])
    item.LUTDescriptor = [100, 0, 8]
    return item


@pytest.mark.parametrize("item", [lut([1, 2, 3], bits=0), lut([1, 2, 3], bits=17), short_lut(), Dataset()])
@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
def test_a_malformed_table_is_left_out_with_a_warning(sequence, item):
    radiograph = decode_image(make.chest_dicom(**{sequence: [item]}), LIMITS)
    assert np.array_equal(radiograph.pixels, decode())
    details = [warning.detail for warning in radiograph.warnings if warning.code == "malformed_attribute"]
    assert ["LUT Sequence" in detail for detail in details] == [True]


@pytest.mark.parametrize(("declared", "held"), [(16, 12), (16, 8), (12, 10)])
def test_a_table_that_declares_more_bits_than_it_holds_is_shown_in_full(declared, held):
    entries = (np.arange(4096) * (2**held - 1) // 4095).tolist()
    radiograph = decode_image(make.chest_dicom(VOILUTSequence=[lut(entries, bits=declared)]), LIMITS)
    assert np.array_equal(radiograph.pixels, decode(VOILUTSequence=[lut(entries, bits=held)]))
    assert "voi_lut_range" in [warning.code for warning in radiograph.warnings]


def test_greys_in_three_channels_are_grey_and_colours_are_not():
    gray = make.film_8bit()
    assert np.array_equal(gray_of_rgb(np.stack([gray] * 3, axis=2)), gray)
    assert gray_of_rgb(make.colour_photo()) is None
