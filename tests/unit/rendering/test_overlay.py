"""The drawn overlay: geometry, colours and scale, read back from the PNG."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.rendering.overlay import OverlayStyle, SaliencyLayer, display_limit, encode_png, render_film, render_overlay
from app.rendering.palettes import colour_index, colour_table

ROWS, COLUMNS = 101, 67
BORDER = [255, 214, 0]


def read(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)))


def film() -> np.ndarray:
    pixels = np.full((ROWS, COLUMNS), 0.5, dtype=np.float32)
    pixels[:17] = 0.0
    pixels[-17:] = 1.0
    return pixels


def layer(values: np.ndarray) -> SaliencyLayer:
    """A layer over the centred square of the film: 17 rows above and below stay free."""
    return SaliencyLayer(values.astype(np.float32), row=17, column=0, size=67)


def quadrants() -> np.ndarray:
    return np.array([[3.0, 0.0], [0.0, -3.0]])


def draw(values: np.ndarray, **style: object) -> np.ndarray:
    return read(render_overlay(film(), layer(values), OverlayStyle(limit=3.0, **style)))


def test_the_overlay_has_the_size_of_the_film():
    assert draw(quadrants()).shape == (ROWS, COLUMNS, 3)


def test_red_is_for_blue_is_against_in_their_places():
    picture = draw(quadrants(), opacity=1.0)
    table = colour_table("red-blue")
    assert picture[30, 15].tolist() == table[-1].tolist()
    assert picture[70, 50].tolist() == table[0].tolist()
    red, blue = table[-1].astype(int), table[0].astype(int)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert table[256].min() > 240


def test_outside_the_square_the_film_is_untouched():
    picture = draw(quadrants(), opacity=1.0)
    assert (picture[:17] == 0).all()
    assert (picture[-17:] == 255).all()


def test_the_border_of_the_square_is_drawn():
    picture = draw(np.zeros((3, 3)))
    assert (picture[17] == BORDER).all()
    assert (picture[17 + 67 - 1] == BORDER).all()
    assert (picture[17:84, 0] == BORDER).all()
    assert (picture[17:84, -1] == BORDER).all()


def test_opacity_blends_film_and_colour():
    assert np.ptp(draw(quadrants(), opacity=0.0)[30:70, 5:60], axis=2).max() == 0
    half = draw(quadrants(), opacity=0.5)[30, 15].astype(float)
    assert np.abs(half - (colour_table("red-blue")[-1] + 128.0) / 2).max() <= 1


def test_the_scale_is_fixed_whatever_else_the_map_holds():
    weak, strong = np.full((2, 2), 0.3), np.full((2, 2), 0.3)
    strong[1, 1] = 3.0
    assert draw(weak)[30, 15].tolist() == draw(strong)[30, 15].tolist()


def test_evidence_beyond_the_limit_takes_the_strongest_colour():
    assert np.array_equal(draw(np.full((2, 2), 30.0)), draw(np.full((2, 2), 3.0)))


def test_the_scale_is_symmetric():
    index = colour_index(np.array([-3, -1.5, 0, 1.5, 3], dtype=np.float32), 3.0)
    assert index.tolist() == [0, 128, 256, 384, 512]


@pytest.mark.parametrize("palette", ["red-blue", "orange-purple"])
def test_palettes_differ_in_lightness_only_away_from_the_middle(palette):
    lightness = colour_table(palette).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert lightness.argmax() in range(250, 263)
    assert (np.diff(lightness[:256]) > -1).all()
    assert (np.diff(lightness[257:]) < 1).all()


def test_the_palette_is_a_choice():
    assert draw(quadrants(), palette="orange-purple").tolist() != draw(quadrants()).tolist()


@pytest.mark.parametrize(("size", "shape"), [(202, (202, 134, 3)), (50, (50, 33, 3)), (101, (101, 67, 3))])
def test_the_longest_side_is_the_asked_for_size(size, shape):
    assert draw(quadrants(), size=size).shape == shape


def test_the_square_moves_with_the_size():
    picture = draw(quadrants(), size=202, opacity=1.0)
    assert (picture[34] == BORDER).all()
    assert picture[60, 30].tolist() == colour_table("red-blue")[-1].tolist()
    assert (picture[:24] == 0).all()


def test_a_landscape_film_has_its_square_in_the_middle():
    picture = read(
        render_overlay(
            film().T.copy(), SaliencyLayer(np.full((2, 2), 3, np.float32), 0, 17, 67), OverlayStyle(3.0, opacity=1.0)
        )
    )
    assert (picture[:, 17] == BORDER).all()
    assert (picture[:, :17] == 0).all()
    assert picture[33, 50].tolist() == colour_table("red-blue")[-1].tolist()


@pytest.mark.parametrize("place", [(-20.0, -20.0), (90.0, 60.0), (200.0, 200.0)])
def test_a_square_that_leaves_the_film_is_cut(place):
    outside = SaliencyLayer(np.full((2, 2), 3, np.float32), *place, 67)
    assert read(render_overlay(film(), outside, OverlayStyle(3.0))).shape == (ROWS, COLUMNS, 3)


def test_a_square_partly_above_the_film_shows_its_lower_part():
    values = np.zeros((67, 67), np.float32)
    values[40:] = 3.0
    picture = read(render_overlay(film(), SaliencyLayer(values, -20, 0, 67), OverlayStyle(3.0, opacity=1.0)))
    table = colour_table("red-blue")
    assert picture[18, 30].tolist() == [round(film()[18, 30] * 255)] * 3
    assert picture[22, 30].tolist() == table[-1].tolist()


def test_neutral_evidence_leaves_the_film_as_it_is_and_opacity_grows_with_the_evidence():
    plain = film()[30, 15] * 255
    assert draw(np.zeros((2, 2)), opacity=1.0)[30, 15].tolist() == [round(plain)] * 3
    contrasts = [contrast_under(value) for value in (0.0, 0.3, 1.0, 2.0, 3.0)]
    assert contrasts == sorted(set(contrasts), reverse=True)
    assert contrasts[-1] == pytest.approx(0.6 * contrasts[0], abs=2)


def contrast_under(value: float) -> int:
    """How far a light and a dark film are apart under evidence of one value, at an opacity of 0.4."""
    style = OverlayStyle(limit=3.0, opacity=0.4)
    light, dark = (
        read(render_overlay(np.full((ROWS, COLUMNS), gray, np.float32), layer(np.full((2, 2), value)), style))[30, 15]
        for gray in (0.8, 0.2)
    )
    return int(light[0]) - int(dark[0])


@pytest.mark.parametrize(
    ("strength", "limit"), [(0.0, 1.0), (0.8, 1.0), (1.2, 2.0), (4.6, 5.0), (17.5, 20.0), (0.03, 0.05)]
)
def test_the_display_limit_is_a_round_number_above_the_evidence(strength, limit):
    assert display_limit(np.full((8, 8), -strength, np.float32)) == pytest.approx(limit)


def test_the_plain_film_is_grey_and_upright():
    picture = read(render_film(film()))
    assert picture.shape == (ROWS, COLUMNS)
    assert picture[0, 0] == 0
    assert picture[-1, 0] == 255
    assert read(render_film(film(), 50)).shape == (50, 33)


@pytest.mark.parametrize("size", [0, -5])
def test_a_picture_without_extent_is_refused(size):
    with pytest.raises(ValueError, match="at least one pixel"):
        render_film(film(), size)
    with pytest.raises(ValueError, match="at least one pixel"):
        render_film(np.zeros((0, 5), np.float32))


@pytest.mark.parametrize("style", [{"limit": 0.0}, {"limit": float("nan")}, {"limit": 1.0, "opacity": 1.1}])
def test_a_style_that_cannot_be_drawn_is_refused(style):
    with pytest.raises(ValueError, match="an overlay needs"):
        OverlayStyle(**style)


def test_png_encoding_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (31, 37, 3), dtype=np.uint8)
    assert np.array_equal(read(encode_png(image)), image)
    assert np.array_equal(read(encode_png(image[:, :, 0].copy())), image[:, :, 0])
