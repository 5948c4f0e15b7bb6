"""Masks lie where their organs are in the stored image."""

import numpy as np
import pytest

from app.anatomy.masks import SIDE
from app.anatomy.placement import placed
from app.anatomy.segmenter import BACKGROUND, HEART, LEFT_LUNG, RIGHT_LUNG
from app.patchnet.preprocessing import CropGeometry
from tests.unit.anatomy import chests


def test_masks_of_the_stored_size_stay_as_they_are():
    geometry = CropGeometry.centered(SIDE, SIDE, 512)
    np.testing.assert_array_equal(placed(chests.masks(), geometry, SIDE, SIDE), chests.classes())


@pytest.mark.parametrize("factor", [3, 10])  # the larger one is placed in several bands
def test_masks_are_enlarged_about_the_same_outlines(factor):
    geometry = CropGeometry.centered(factor * SIDE, factor * SIDE, 512)
    organs = placed(chests.masks(), geometry, factor * SIDE, factor * SIDE)
    enlarged = chests.classes().repeat(factor, axis=0).repeat(factor, axis=1)
    assert (organs != enlarged).mean() < 0.002  # corners are rounded
    for organ in (RIGHT_LUNG, LEFT_LUNG, HEART):
        for axis in (0, 1):
            extent, expected = (np.flatnonzero((found == organ).any(axis=axis)) for found in (organs, enlarged))
            assert abs(extent[[0, -1]] - expected[[0, -1]]).max() <= 1


@pytest.mark.parametrize(("rows", "columns"), [(SIDE, SIDE + 101), (SIDE + 101, SIDE)])
def test_nothing_lies_outside_the_analysed_square(rows, columns):
    geometry = CropGeometry.centered(rows, columns, 512)
    organs = placed(chests.masks(np.full((SIDE, SIDE), HEART, dtype=np.uint8)), geometry, rows, columns)
    square = organs[geometry.row : geometry.row + SIDE, geometry.column : geometry.column + SIDE]
    assert (square == HEART).all()
    assert (organs == HEART).sum() == SIDE**2
    assert organs[0, 0] == organs[-1, -1] == BACKGROUND


def test_pixels_that_are_not_square_are_placed_by_the_stored_rows_and_columns():
    geometry = CropGeometry.centered(SIDE, SIDE, 512)
    organs = placed(chests.masks(), geometry, SIDE // 2, SIDE)
    np.testing.assert_array_equal(organs, chests.classes()[::2])
