"""PNG and JPEG: which kinds of picture are read as a film, and how."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.errors import NotAChestRadiograph, UnreadableImage
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits, Radiograph
from app.imaging.raster import turn_upright
from tests import factories as make

LIMITS = DecodeLimits()
GRAY = make.film_8bit()
EXPECTED = GRAY.astype(np.float32) / 255


def decode(data: bytes) -> Radiograph:
    return decode_image(data, LIMITS)


def test_an_8_bit_png_keeps_its_values():
    radiograph = decode(make.png_file(GRAY))
    assert np.allclose(radiograph.pixels, EXPECTED)
    assert radiograph.pixels.dtype == np.float32
    facts = radiograph.facts
    assert (facts.format, facts.rows, facts.columns) == ("png", make.ROWS, make.COLUMNS)
    assert facts.modality is None
    assert [warning.code for warning in radiograph.warnings] == ["low_resolution"]


def test_a_16_bit_png_shows_the_range_of_its_values():
    stored = make.film(bits=12)
    span = int(stored.max()) - int(stored.min())
    pixels = decode(make.png_file(stored)).pixels
    assert np.allclose(pixels, (stored - float(stored.min())) / span, atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L"])
def test_greys_are_read_from_every_kind_of_png(mode):
    assert np.allclose(decode(make.png_file(GRAY, mode)).pixels, EXPECTED)


def test_two_levels_are_read():
    pixels = decode(make.png_file(GRAY, "1")).pixels
    assert set(np.unique(pixels)) == {0, 1}


def test_transparent_pixels_are_black():
    rgba = np.stack([GRAY] * 3 + [np.full_like(GRAY, 255)], axis=2)
    rgba[:7, :, 3] = 0
    rgba[7:11, :, 3] = 51
    pixels = decode(make.png_file(rgba)).pixels
    assert (pixels[:7] == 0).all()
    assert np.allclose(pixels[7:11], EXPECTED[7:11] * 0.2)
    assert np.allclose(pixels[11:], EXPECTED[11:])


def test_a_transparent_grey_level_is_black():
    pixels = decode(make.png_file(GRAY, transparency=int(GRAY[5, 5]))).pixels
    assert (pixels[GRAY[5, 5] == GRAY] == 0).all()
    assert np.allclose(pixels[GRAY[5, 5] != GRAY], EXPECTED[GRAY[5, 5] != GRAY])


@pytest.mark.parametrize("mode", [None, "RGB"])
def test_a_grey_jpeg_is_read_closely(mode):
    radiograph = decode(make.jpeg_file(GRAY, mode, quality=95))
    assert radiograph.facts.format == "jpeg"
    assert np.abs(radiograph.pixels - EXPECTED).max() < 0.03


@pytest.mark.parametrize("data", [make.png_file(make.colour_photo()), make.jpeg_file(make.colour_photo())])
def test_colour_is_refused(data):
    with pytest.raises(NotAChestRadiograph, match="colour"):
        decode(data)


def test_cmyk_is_refused():
    with pytest.raises(NotAChestRadiograph, match="CMYK"):
        decode(make.jpeg_file(GRAY, "CMYK"))


def test_an_animation_is_refused():
    stream = BytesIO()
    frames = [Image.fromarray(GRAY), Image.fromarray(GRAY[::-1].copy())]
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(NotAChestRadiograph, match="animated"):
        decode(stream.getvalue())


@pytest.mark.parametrize("value", [0, 1, 77, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_constant_picture_is_refused(value, dtype):
    with pytest.raises(NotAChestRadiograph, match="same value"):
        decode(make.png_file(np.full((67, 71), value, dtype=dtype)))


def test_a_png_without_header_chunk_first_is_refused():
    data = make.png_file(GRAY)
    with pytest.raises(UnreadableImage, match="no readable header"):
        decode(data[:12] + b"tEXt" + data[16:])


def test_a_jpeg_without_frame_header_is_refused():
    with pytest.raises(UnreadableImage, match="no readable header"):
        decode(b"\xff\xd8\xff\xe0" + bytes(100))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_viewers_do(orientation):
    picture = Image.fromarray(GRAY)
    exif = picture.getexif()
    exif[0x0112] = orientation
    stream = BytesIO()
    picture.save(stream, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(stream.getvalue()))))
    radiograph = decode(stream.getvalue())
    assert np.allclose(radiograph.pixels, expected / 255.0)
    assert (radiograph.facts.rows, radiograph.facts.columns) == expected.shape
    assert ("orientation_applied" in [warning.code for warning in radiograph.warnings]) is (orientation > 1)


def test_an_impossible_orientation_is_ignored():
    assert np.array_equal(turn_upright(EXPECTED, 9), EXPECTED)


@pytest.mark.parametrize(
    ("densities", "shape"),
    [((2000, 1000), (2 * make.ROWS, make.COLUMNS)), ((1000, 2000), (make.ROWS, 2 * make.COLUMNS)),
     ((3000, 3000), GRAY.shape), ((0, 1000), GRAY.shape), ((100_000, 1), GRAY.shape)],
)  # fmt: skip
def test_pixels_of_a_png_that_are_not_square_are_resampled_with_a_warning(densities, shape):
    header = make.png_file(GRAY)
    body = b"pHYs" + struct.pack(">IIB", *densities, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    radiograph = decode(header[:33] + chunk + header[33:])
    assert radiograph.pixels.shape == (radiograph.facts.rows, radiograph.facts.columns) == shape
    assert ("pixel_aspect" in [warning.code for warning in radiograph.warnings]) is (shape != GRAY.shape)
