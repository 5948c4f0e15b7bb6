"""PNG and JPEG files as phones and editors write them: ancillary data never decide about a picture."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.errors import NotAChestRadiograph
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits, Radiograph
from tests import factories as make
from tests.unit.imaging.films import codes, pixels_of_rg1

GRAY = (pixels_of_rg1() >> 7).astype(np.uint8)
DEEP = (pixels_of_rg1() >> 3).astype(np.uint16)  # 12 bits, unscaled
PNG = make.png_file(GRAY)


def decode(data: bytes) -> Radiograph:
    return decode_image(data, DecodeLimits())


def chunk(kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    crc = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def with_chunk(added: bytes) -> bytes:
    return PNG[:33] + added + PNG[33:]


def deep_png(samples: np.ndarray, colour_type: int) -> bytes:
    """A PNG of [H, W, channels] uint16, which Pillow cannot write."""
    rows, columns, _ = samples.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples)
    header = struct.pack(">IIBBBBB", columns, rows, 16, colour_type, 0, 0, 0)
    return PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def stretched(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low)


@pytest.mark.parametrize(
    "added",
    [
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(5_000_000))),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(5_000_000))),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(5_000_000))),
        chunk(b"iCCP", b"profile\0\0damaged"),
        chunk(b"eXIf", b"damaged"),
        chunk(b"eXIf", bytes(100_000)),
        chunk(b"tEXt", b"Comment\0text", checksum=0),
        chunk(b"gAMA", b"1"),
        chunk(b"pHYs", b""),
        chunk(b"prVt", bytes(100_000)),
        b"".join(chunk(b"tEXt", b"Comment\0text") for _ in range(5000)),
    ],
)
def test_ancillary_chunks_of_a_png_do_not_matter(added):
    assert np.array_equal(decode(with_chunk(added)).pixels, decode(PNG).pixels)


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=64))
def test_no_ancillary_chunk_changes_the_pixels(kind, content):
    kind = bytes([ord("a") + kind[0] % 26, *(ord("a") + byte % 26 for byte in kind[1:])])
    assert np.array_equal(decode(with_chunk(chunk(kind, content))).pixels, decode(PNG).pixels)


def jpeg(**options: object) -> bytes:
    return make.jpeg_file(GRAY, None, quality=95, **options)


def with_segment(marker: int, content: bytes) -> bytes:
    data = jpeg()
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        (0xE1, b"Exif\0\0damaged"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(60_000)),
        (0xE2, b"MPF\0MM\0*" + bytes(20)),
        (0xE2, b"ICC_PROFILE\0\x09\x02" + bytes(1000)),
        (0xED, b"Photoshop 3.0\0" + bytes(100)),
        (0xFE, bytes(60_000)),
    ],
)
def test_ancillary_segments_of_a_jpeg_do_not_matter(marker, content):
    assert np.array_equal(decode(with_segment(marker, content)).pixels, decode(jpeg()).pixels)


def test_the_first_picture_of_a_phone_is_read():
    stream = BytesIO()
    preview = Image.fromarray(GRAY[::4, ::4].copy())
    Image.fromarray(GRAY).save(stream, "MPO", save_all=True, append_images=[preview])
    assert np.abs(decode(stream.getvalue()).pixels - GRAY / 255).max() < 0.2


@pytest.mark.parametrize("orientation", [3, 6])
def test_the_orientation_of_a_jpeg_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(jpeg(exif=exif))
    expected = np.rot90(decode(jpeg()).pixels, 2 if orientation == 3 else 3)
    assert np.array_equal(turned.pixels, expected)
    assert codes(turned) == {"orientation_applied"}


@pytest.mark.parametrize("colour_type", [2, 4, 6])
def test_16_bit_colour_keeps_its_bits(colour_type):
    channels = [DEEP] * (1 if colour_type == 4 else 3) + [np.full_like(DEEP, 65535)] * (colour_type != 2)
    pixels = decode(deep_png(np.stack(channels, axis=2), colour_type)).pixels
    assert np.allclose(pixels, stretched(DEEP), atol=1e-6)
    assert len(np.unique(pixels)) > 1000


def test_16_bit_gray_and_16_bit_colour_of_the_same_picture_are_equal():
    assert np.array_equal(decode(deep_png(np.stack([DEEP] * 3, axis=2), 2)).pixels, decode(make.png_file(DEEP)).pixels)


def test_16_bit_colour_that_is_colour_is_refused():
    with pytest.raises(NotAChestRadiograph, match="colour"):
        decode(deep_png(np.stack([DEEP * 16, DEEP, DEEP], axis=2), 2))


@pytest.mark.parametrize(("side", "warned"), [(64, True), (255, True), (256, False)])
def test_a_small_picture_is_warned_about(side, warned):
    assert ("low_resolution" in codes(decode(make.png_file(np.ascontiguousarray(GRAY[:side]))))) is warned


@pytest.mark.parametrize("shape", [(63, 200), (200, 63), (8, 8)])
def test_a_picture_too_small_to_show_a_chest_is_refused(shape):
    small = np.ascontiguousarray(GRAY[: shape[0], : shape[1]])
    for data in (make.png_file(small), make.jpeg_file(small), make.chest_dicom(small.astype(np.uint16))):
        with pytest.raises(NotAChestRadiograph, match="too small"):
            decode(data)
