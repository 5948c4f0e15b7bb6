"""Every transfer syntax that is promised, each with real encoded pixels."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.encaps import generate_frames

from app.imaging.decode import decode_image
from app.imaging.dicom.reader import TRANSFER_SYNTAXES
from app.imaging.radiograph import DecodeLimits, Radiograph
from tests import factories as make

LIMITS = DecodeLimits()
UNCOMPRESSED = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
LOSSLESS = (
    uid.RLELossless,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)
LOSSY = (uid.JPEGLSNearLossless, uid.JPEG2000)


def full_range(stored: np.ndarray) -> np.ndarray:
    values = stored.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def decode(data: bytes) -> Radiograph:
    return decode_image(data, LIMITS)


@pytest.mark.parametrize("syntax", UNCOMPRESSED, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 12])
def test_uncompressed_pixels_are_read_exactly(syntax, bits):
    stored = make.film_8bit() if bits == 8 else make.film()
    radiograph = decode(make.write_dicom(make.chest_dataset(stored, bits), syntax))
    assert np.abs(radiograph.pixels - full_range(stored)).max() < 1e-6
    assert radiograph.facts.transfer_syntax == syntax


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_compression_is_read_exactly(syntax, bits):
    # GDCM's encoder takes no padded pixel data: an even number of rows.
    stored = make.film_8bit(rows=2 * 53) if bits == 8 else make.film(bits=bits)
    frame = make.encoded_frame(stored, syntax, bits)
    radiograph = decode(make.compressed_dicom(frame, syntax, stored, bits))
    assert np.abs(radiograph.pixels - full_range(stored)).max() < 1e-6
    assert radiograph.facts.transfer_syntax == syntax


@pytest.mark.parametrize("syntax", LOSSY, ids=lambda syntax: syntax.name)
def test_lossy_compression_is_read_closely(syntax):
    stored = make.film()
    radiograph = decode(make.compressed_dicom(make.encoded_frame(stored, syntax), syntax, stored))
    difference = np.abs(radiograph.pixels - full_range(stored)).max()
    assert 0 < difference < 0.01


def test_jpeg_baseline_is_read_closely():
    stored = make.film_8bit()
    frame = make.encoded_frame(stored, uid.JPEGBaseline8Bit, 8)
    radiograph = decode(make.compressed_dicom(frame, uid.JPEGBaseline8Bit, stored, 8))
    assert np.abs(radiograph.pixels - full_range(stored)).max() < 0.02


@pytest.mark.parametrize(
    ("syntax", "name", "worst"),
    [
        (uid.HTJ2KLossless, "film_lossless.j2c", 1e-6),
        (uid.HTJ2KLosslessRPCL, "film_lossless.j2c", 1e-6),
        (uid.HTJ2K, "film_lossy.j2c", 1e-3),
    ],
)
def test_high_throughput_jpeg_2000_is_read(syntax, name, worst):
    stored = make.crop_of_rg1()
    frame = (make.HTJ2K_FILES / name).read_bytes()
    radiograph = decode(make.compressed_dicom(frame, syntax, stored, 16))
    assert np.abs(radiograph.pixels - full_range(stored)).max() < worst


def test_jpeg_extended_with_12_bits_is_read():
    dataset = dcmread(BytesIO(make.example("JPGExtended.dcm")))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    shape = np.zeros((dataset.Rows, dataset.Columns), dtype=np.uint16)
    radiograph = decode(make.compressed_dicom(frame, uid.JPEGExtended12Bit, shape))
    assert radiograph.pixels[420, 140] == pytest.approx(244 / 264)  # the file's known values, of 0 … 264
    assert radiograph.pixels[230, 120] == pytest.approx(95 / 264)


def test_jpeg_extended_with_8_bits_is_read():
    stored = make.film_8bit()
    frame = make.encoded_frame(stored, uid.JPEGBaseline8Bit, 8)
    radiograph = decode(make.compressed_dicom(frame, uid.JPEGExtended12Bit, stored, 8))
    assert np.abs(radiograph.pixels - full_range(stored)).max() < 0.02


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_signed_pixels_are_read(syntax):
    stored = (make.film().astype(np.int32) - 2048).astype(np.int16)
    radiograph = decode(make.write_dicom(make.chest_dataset(stored), syntax))
    assert np.abs(radiograph.pixels - full_range(stored)).max() < 1e-6


def test_bits_above_the_stored_ones_are_not_part_of_the_value():
    stored = make.film()
    with_overlay = stored | np.uint16(0x8000) * (np.arange(stored.size).reshape(stored.shape) % 3 == 0)
    radiograph = decode(make.chest_dicom(with_overlay.astype(np.uint16), 12))
    assert np.abs(radiograph.pixels - full_range(stored)).max() < 1e-6


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_data_set_without_preamble_and_meta_group_is_read(syntax):
    stored = make.film()
    data = make.write_dicom(make.chest_dataset(stored), syntax, preamble=False)
    bare = data[data.index(b"\0\x08\0\x16" if syntax == uid.ExplicitVRBigEndian else b"\x08\0\x16\0") :]
    radiograph = decode(bare)
    assert np.abs(radiograph.pixels - full_range(stored)).max() < 1e-6
    assert radiograph.facts.transfer_syntax == syntax


def test_a_file_with_meta_group_but_no_preamble_is_read():
    data = make.chest_dicom()
    assert np.array_equal(decode(data[132:]).pixels, decode(data).pixels)


def test_the_four_encodings_of_the_example_chest_agree():
    plain, lossless = decode(make.example("RG1_UNCR.dcm")), decode(make.example("RG1_J2KR.dcm"))
    assert plain.pixels.shape == (1955, 1841)
    assert plain.pixels.dtype == np.float32
    assert np.array_equal(plain.pixels, lossless.pixels)
    lossy_plain, lossy = decode(make.example("RG1_UNCI.dcm")), decode(make.example("RG1_J2KI.dcm"))
    assert np.array_equal(lossy_plain.pixels, lossy.pixels)
    assert np.abs(plain.pixels - lossy.pixels).mean() < 0.002


def test_the_promised_transfer_syntaxes_are_all_there_are():
    tested = {*UNCOMPRESSED, *LOSSLESS, *LOSSY, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit}
    assert tested | {uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL} == TRANSFER_SYNTAXES
