import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.patchnet.preprocessing import CropGeometry, to_model_image

SIDES = st.integers(min_value=1, max_value=5000)


@given(SIDES, SIDES, st.sampled_from([64, 512]), st.floats(0, 1), st.floats(0, 1))
def test_a_fraction_of_the_model_image_is_the_same_fraction_of_the_crop(rows, columns, image_size, down, right):
    geometry = CropGeometry.centered(rows, columns, image_size)
    expected = geometry.row + down * geometry.size, geometry.column + right * geometry.size
    assert geometry.to_source(down * image_size, right * image_size) == pytest.approx(expected, abs=1e-6)


@given(SIDES, SIDES)
def test_the_crop_is_the_largest_centred_square(rows, columns):
    geometry = CropGeometry.centered(rows, columns, 512)
    assert geometry.size == min(rows, columns)
    assert 0 <= rows - geometry.size - 2 * geometry.row <= 1
    assert 0 <= columns - geometry.size - 2 * geometry.column <= 1
    assert geometry.is_cropped is (rows != columns)


def test_a_landscape_film_is_cropped_left_and_right():
    pixels = np.zeros((7, 13), dtype=np.float32)
    pixels[:, 3:10] = 1.0
    image = to_model_image(pixels, 7)
    assert (image.geometry.row, image.geometry.column, image.geometry.size) == (0, 3, 7)
    assert image.tensor.shape == (1, 7, 7)
    assert bool((image.tensor == 1).all())


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.tile(np.array([0.0, 1.0], dtype=np.float32), (512, 256))
    image = to_model_image(stripes, 64)
    assert float((image.tensor[:, :, 2:-2] - 0.5).abs().max()) < 0.02


def test_a_constant_film_stays_constant_and_in_range():
    image = to_model_image(np.full((301, 211), 0.25, dtype=np.float32), 64)
    assert float((image.tensor - 0.25).abs().max()) < 1e-6


def test_upright_stays_upright():
    pixels = np.zeros((90, 90), dtype=np.float32)
    pixels[:30, :45] = 1.0
    tensor = to_model_image(pixels, 30).tensor[0]
    assert float(tensor[2, 2]) == pytest.approx(1.0)
    assert float(tensor[2, -3]) == pytest.approx(0.0)
    assert float(tensor[-3, 2]) == pytest.approx(0.0)


def test_an_image_of_the_right_size_is_not_touched():
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    assert np.array_equal(to_model_image(pixels, 64).tensor[0].numpy(), pixels)


def test_colour_is_refused():
    with pytest.raises(ValueError, match="3 dimensions"):
        to_model_image(np.zeros((4, 4, 3), dtype=np.float32), 4)
