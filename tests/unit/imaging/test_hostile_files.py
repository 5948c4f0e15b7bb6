"""Files made to hurt: bombs, lies about sizes, truncation, random damage. All end as refusals, soon and small."""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid

from app.errors import ImageError, ImageTooLarge, UnreadableImage
from app.imaging.decode import decode_image
from app.imaging.dicom import codecs
from app.imaging.radiograph import DecodeLimits
from tests import factories as make
from tests.conftest import EXAMPLES

LIMITS = DecodeLimits()
MIB = 1024 * 1024


def test_a_deflate_bomb_is_refused_when_it_passes_the_limit():
    bomb = make.deflate_bomb()
    assert len(bomb) < 600_000
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge, match="inflates to more than") as refusal:
            decode_image(bomb, DecodeLimits(inflated_bytes=64 * MIB))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 64 * MIB  # of the 512 that there are
    assert refusal.value.transfer_syntax == uid.DeflatedExplicitVRLittleEndian


def test_a_bomb_without_preamble_is_refused_too():
    with pytest.raises(ImageTooLarge, match="inflates to more than"):
        decode_image(make.deflate_bomb()[132:], DecodeLimits(inflated_bytes=8 * MIB))


def test_a_truncated_deflated_data_set_is_refused():
    data = make.write_dicom(make.chest_dataset(), uid.DeflatedExplicitVRLittleEndian)
    with pytest.raises(UnreadableImage, match="deflated data set is truncated"):
        decode_image(data[:-20], LIMITS)


def test_a_png_header_of_30000_by_30000_is_refused_at_once():
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge, match="30000 rows × 30000 columns"):
            decode_image(make.png_header(30_000, 30_000), LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MIB


def test_a_png_between_the_limits_of_the_library_and_ours_is_refused():
    with pytest.raises(ImageTooLarge):
        decode_image(make.png_header(20_000, 20_000), DecodeLimits(pixels=10**9))


def test_a_jpeg_header_of_65535_by_65535_is_refused():
    data = make.jpeg_file(make.film_8bit())
    size = struct.pack(">HH", make.ROWS, make.COLUMNS)
    with pytest.raises(ImageTooLarge, match="65535 rows × 65535 columns"):
        decode_image(data.replace(size, b"\xff\xff\xff\xff", 1), LIMITS)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG1_J2KR.dcm"], ids=["uncompressed", "compressed"])
def test_a_truncated_dicom_file_is_refused(name, kept):
    data = make.example(name)
    with pytest.raises(ImageError):
        decode_image(data[: int(len(data) * kept)], LIMITS)


def test_pixel_data_shorter_than_the_image_are_refused_with_both_lengths():
    with pytest.raises(UnreadableImage, match=f"need {113 * 127 * 2} bytes, but only 1000 are present"):
        decode_image(make.chest_dicom(PixelData=bytes(1000)), LIMITS)


@pytest.mark.parametrize(
    "syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1], ids=lambda syntax: syntax.name
)
def test_a_truncated_frame_in_an_intact_file_is_refused(syntax):
    stored = make.film()
    frame = make.encoded_frame(stored, syntax)
    with pytest.raises(UnreadableImage, match="end marker"):
        decode_image(make.compressed_dicom(frame[: len(frame) // 2], syntax, stored), LIMITS)


def test_a_truncated_run_length_frame_is_refused():
    stored = make.film()
    frame = make.encoded_frame(stored, uid.RLELossless)
    with pytest.raises(UnreadableImage):
        decode_image(make.compressed_dicom(frame[:200], uid.RLELossless, stored), LIMITS)


def test_a_frame_of_another_size_than_the_object_says_is_refused_before_decoding():
    frame = make.encoded_frame(make.film(331, 337), uid.JPEG2000Lossless)
    with pytest.raises(UnreadableImage, match=r"331 × 337 .* 113 × 127"):
        decode_image(make.compressed_dicom(frame, uid.JPEG2000Lossless, make.film()), LIMITS)


def test_a_frame_that_is_no_codestream_is_refused():
    data = make.compressed_dicom(b"no codestream at all", uid.JPEGBaseline8Bit, make.film_8bit(), 8)
    with pytest.raises(UnreadableImage, match="no readable header"):
        decode_image(data, LIMITS)


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_truncated_raster_file_is_refused(kind, kept):
    data = make.png_file(make.film_8bit()) if kind == "png" else make.jpeg_file(make.film_8bit())
    with pytest.raises(UnreadableImage):
        decode_image(data[: int(kept * len(data))], LIMITS)


def test_deeply_nested_sequences_are_refused():
    nest = b"\x08\x00\x40\x11\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    with pytest.raises(ImageError):
        decode_image(nest, LIMITS)


@pytest.mark.parametrize(("kind", "function"), [("dicom", "read_file"), ("png", "")])
def test_running_out_of_memory_is_an_image_too_large(kind, function, monkeypatch):
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("app.imaging.dicom.reader.read_file", exhausted)
    monkeypatch.setattr("app.imaging.raster.gray_of_rgb", exhausted)
    data = make.chest_dicom() if kind == "dicom" else make.png_file(make.colour_photo())
    with pytest.raises(ImageTooLarge, match="more memory than is allowed"):
        decode_image(data, LIMITS)


SEEDS = {
    "dicom": make.chest_dicom(make.film(67, 71), WindowCenter=2000, WindowWidth=3000, PixelPaddingValue=1),
    "implicit": make.write_dicom(make.chest_dataset(make.film(67, 71)), uid.ImplicitVRLittleEndian),
    "big endian": make.write_dicom(make.chest_dataset(make.film(67, 71)), uid.ExplicitVRBigEndian),
    "deflated": make.write_dicom(make.chest_dataset(make.film(67, 71)), uid.DeflatedExplicitVRLittleEndian),
    "rle": make.compressed_dicom(
        make.encoded_frame(make.film(67, 71), uid.RLELossless), uid.RLELossless, make.film(67, 71)
    ),
    "j2k": make.compressed_dicom(
        make.encoded_frame(make.film(67, 71), uid.JPEG2000Lossless), uid.JPEG2000Lossless, make.film(67, 71)
    ),
    "bare": make.write_dicom(make.chest_dataset(make.film(67, 71)), preamble=False),
    "png": make.png_file(make.film_8bit(67, 71)),
    "png16": make.png_file(make.film(67, 71)),
    "jpeg": make.jpeg_file(make.film_8bit(67, 71)),
}


@settings(max_examples=8 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
    st.booleans(),
)
def test_damaged_bytes_end_as_a_film_or_a_refusal(seed, edits, kept, truncate):
    data = bytearray(SEEDS[seed])
    reach = min(len(data), 1400)  # headers are where damage matters
    for place, value in edits:
        data[place % reach] = value
    damaged = bytes(data[: int(kept * len(data))] if truncate else data)
    try:
        radiograph = decode_image(damaged, DecodeLimits(pixels=1_000_000, inflated_bytes=MIB))
    except ImageError as error:
        refusal = error.detail
    else:
        refusal = "none"
        assert radiograph.pixels.dtype == np.float32
        assert np.isfinite(radiograph.pixels).all()
        assert radiograph.pixels.min() >= 0
        assert radiograph.pixels.max() <= 1
        assert radiograph.pixels.shape == (radiograph.facts.rows, radiograph.facts.columns)
    assert refusal
    assert "SENTINEL" not in refusal


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(st.binary(max_size=600), st.sampled_from([b"", bytes(128) + b"DICM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]))
def test_random_bytes_are_refused(tail, head):
    with pytest.raises(ImageError):
        decode_image(head + tail, LIMITS)


def test_registering_the_codecs_twice_changes_nothing():
    codecs.register()
    assert codecs.is_available(uid.HTJ2K)
