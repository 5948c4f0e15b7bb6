"""Display shutters hide what lies outside them, and count for nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.imaging.films import codes, decode, film, pixels_of_rg1

ROWS, COLUMNS = 326, 307
RECTANGLE = {
    "ShutterShape": "RECTANGULAR",
    "ShutterUpperHorizontalEdge": 31,
    "ShutterLowerHorizontalEdge": 300,
    "ShutterLeftVerticalEdge": 41,
    "ShutterRightVerticalEdge": 280,
}
CIRCLE = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [160, 150], "RadiusOfCircularShutter": 100}
POLYGON = {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [11, 11, 11, 200, 201, 200, 201, 11]}


def rectangle(upper: int, lower: int, left: int, right: int) -> np.ndarray:
    inside = np.zeros((ROWS, COLUMNS), dtype=bool)
    inside[upper - 1 : lower, left - 1 : right] = True
    return inside


def circle() -> np.ndarray:
    row, column = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    return (row - 160) ** 2 + (column - 150) ** 2 <= 100**2


@pytest.mark.parametrize(
    ("shutter", "inside"),
    [
        (RECTANGLE, rectangle(31, 300, 41, 280)),
        (CIRCLE, circle()),
        (POLYGON, rectangle(11, 201, 11, 200)),
        (RECTANGLE | CIRCLE | {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]}, rectangle(31, 300, 41, 280) & circle()),
    ],
)
def test_only_the_inside_of_a_shutter_is_displayed(shutter, inside):
    whole, shuttered = decode(film()).pixels, decode(film(**shutter)).pixels
    assert np.array_equal(shuttered[inside], whole[inside])
    assert (shuttered[~inside] == 0).all()


def test_the_presentation_value_is_displayed_outside():
    shuttered = decode(film(**RECTANGLE, ShutterPresentationValue=65535)).pixels
    assert (shuttered[:30] == 1).all()


def test_what_is_hidden_does_not_count_for_the_range():
    bright = pixels_of_rg1().copy()
    bright[:30] = 32767
    shuttered = decode(film(bright, WindowCenter=None, WindowWidth=None, **RECTANGLE)).pixels
    expected = decode(film(WindowCenter=None, WindowWidth=None, **RECTANGLE)).pixels
    assert np.array_equal(shuttered, expected)


@pytest.mark.parametrize(
    "shutter",
    [
        RECTANGLE | {"ShutterUpperHorizontalEdge": None},
        RECTANGLE | {"ShutterUpperHorizontalEdge": 900, "ShutterLowerHorizontalEdge": 950},
        RECTANGLE | {"ShutterUpperHorizontalEdge": 40, "ShutterLowerHorizontalEdge": 50},
        CIRCLE | {"RadiusOfCircularShutter": 0},
        CIRCLE | {"CenterOfCircularShutter": [5]},
        POLYGON | {"VerticesOfThePolygonalShutter": [1, 2, 3]},
        {"ShutterShape": "BITMAP"},
    ],
)
def test_an_unusable_shutter_is_left_out_with_a_warning(shutter):
    given_attributes = {name: value for name, value in shutter.items() if value is not None}
    radiograph = decode(film(**given_attributes))
    assert np.array_equal(radiograph.pixels, decode(film()).pixels)
    assert codes(radiograph) == {"malformed_attribute"}


@given(st.lists(st.integers(-400, 400), min_size=4, max_size=4))
def test_edges_in_any_order_and_place_are_no_refusal(edges):
    names = [name for name in RECTANGLE if name.endswith("Edge")]
    pixels = decode(film(ShutterShape="RECTANGULAR", **dict(zip(names, edges, strict=True)))).pixels
    assert pixels.shape == (ROWS, COLUMNS)
