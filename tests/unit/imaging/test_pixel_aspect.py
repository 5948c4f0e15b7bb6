"""Films with pixels that are not square are shown, and analysed, in their true proportions."""

import numpy as np
import pytest

from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from app.imaging.square_pixels import with_square_pixels
from tests import factories as make
from tests.unit.imaging.films import LIMITS, codes, decode, film, pixels_of_rg1

HALF_THE_COLUMNS = np.ascontiguousarray(pixels_of_rg1()[:, ::2])
HALF_THE_ROWS = np.ascontiguousarray(pixels_of_rg1()[::2])


@pytest.mark.parametrize(
    ("stored", "attributes"),
    [
        (HALF_THE_COLUMNS, {"PixelAspectRatio": [1, 2]}),
        (HALF_THE_COLUMNS, {"PixelSpacing": [0.4, 0.8]}),
        (HALF_THE_COLUMNS, {"ImagerPixelSpacing": [0.4, 0.8]}),
        (HALF_THE_ROWS, {"PixelAspectRatio": [2, 1]}),
    ],
)
def test_the_true_proportions_are_restored(stored, attributes):
    squared, whole = decode(film(stored, **attributes)), decode(film()).pixels
    rows, columns = min(squared.pixels.shape[0], 326), min(squared.pixels.shape[1], 307)
    assert abs(squared.pixels.shape[0] - 326) <= 1
    assert abs(squared.pixels.shape[1] - 307) <= 1
    assert np.abs(squared.pixels[:rows, :columns] - whole[:rows, :columns]).mean() < 0.02
    assert "pixel_aspect" in codes(squared)
    assert (squared.facts.rows, squared.facts.columns) == squared.pixels.shape


@pytest.mark.parametrize(
    "attributes", [{}, {"PixelSpacing": [0.4, 0.4]}, {"PixelSpacing": [0.400, 0.401]}, {"PixelAspectRatio": [1, 1]}]
)
def test_square_pixels_are_left_alone(attributes):
    radiograph = decode(film(**attributes))
    assert np.array_equal(radiograph.pixels, decode(film()).pixels)
    assert codes(radiograph) == set()


@pytest.mark.parametrize("spacing", [[0, 0.4], [0.4, 400], [0.4, -0.4]])
def test_an_impossible_spacing_is_left_out_with_a_warning(spacing):
    radiograph = decode(film(PixelSpacing=spacing))
    assert np.array_equal(radiograph.pixels, decode(film()).pixels)
    assert codes(radiograph) == {"malformed_attribute"}


@pytest.mark.parametrize(("aspect", "shape"), [(2, (100, 25)), (0.5, (50, 50))])
def test_the_finer_axis_is_shrunk_where_the_pixels_would_be_too_many(aspect, shape):
    squared = with_square_pixels(np.zeros((100, 50), dtype=np.float32), aspect, 5000)
    assert squared.pixels.shape == shape


def test_squared_pixels_stay_within_the_limit():
    data = make.write_dicom(film(HALF_THE_COLUMNS, PixelAspectRatio=[1, 2]))
    limited = decode_image(data, DecodeLimits(pixels=326 * 154))
    assert limited.pixels.size <= 326 * 154
    assert decode_image(data, LIMITS).pixels.size > 326 * 154


def test_a_circular_shutter_is_round_on_display():
    circle = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [163, 77], "RadiusOfCircularShutter": 40}
    pixels = decode(film(HALF_THE_COLUMNS, PixelAspectRatio=[1, 2], **circle)).pixels
    inside = pixels > 0.05
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert abs((rows[-1] - rows[0]) - (columns[-1] - columns[0])) <= 6
