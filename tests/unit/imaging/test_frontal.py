"""The warning about what does not look like an upright frontal film, on real films and other real images."""

import csv
from io import BytesIO

import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image
from pydicom import dcmread
from sklearn.datasets import load_sample_images

from app.imaging.decode import decode_image
from app.imaging.frontal import SIDE, frontal_warnings, thumbnail
from app.imaging.radiograph import DecodeLimits
from tests import factories as make


def is_warned(pixels):
    return bool(frontal_warnings(np.ascontiguousarray(pixels, dtype=np.float32)))


@pytest.fixture(scope="module")
def films(shared):
    with (shared / "data/nih-cxr/test.csv").open() as file:
        paths = [shared / "data/nih-cxr" / row["Path"] for row in csv.DictReader(file)]
    return [np.asarray(Image.open(path).convert("L"), dtype=np.float32) / 255 for path in paths]


@pytest.mark.reference_data
def test_at_most_one_real_frontal_film_in_a_hundred_is_warned_about(films):
    share = np.mean([is_warned(film) for film in films])
    print(f"\nwarned about {share:.2%} of {len(films)} frontal films")
    assert share <= 0.01


SPOILED = {
    "inverted": lambda film: 1 - film,
    "turned left": np.rot90,
    "upside down": lambda film: np.rot90(film, 2),
    "turned right": lambda film: np.rot90(film, 3),
}


@pytest.mark.reference_data
@pytest.mark.parametrize("kind", SPOILED)
def test_at_least_95_of_100_spoiled_films_are_warned_about(films, kind):
    share = np.mean([is_warned(SPOILED[kind](film)) for film in films])
    print(f"\n{kind}: warned about {share:.2%}")
    assert share >= 0.95


@pytest.mark.parametrize("name", ["RG3_UNCR.dcm", "CT_small.dcm", "MR_small.dcm", "US1_UNCR.dcm"])
def test_other_images_are_warned_about_also_where_their_tags_lie(name):
    dataset = dcmread(BytesIO(make.example(name)))
    values = dataset.pixel_array.astype(np.float32)
    gray = values.mean(axis=-1) if values.ndim == 3 else values
    shown = (gray - gray.min()) / np.ptp(gray)
    assert is_warned(1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown)


def hopper():
    """A photograph that nothing was fitted to."""
    with get_sample_data("grace_hopper.jpg") as file:
        return np.asarray(Image.open(file))


PHOTOGRAPHS = {
    "hopper.jpg": hopper(),
    **dict(zip(load_sample_images().filenames, load_sample_images().images, strict=True)),
}


@pytest.mark.parametrize("image", PHOTOGRAPHS.values(), ids=PHOTOGRAPHS)
def test_gray_photographs_are_warned_about(image):
    data = make.png_file(np.asarray(Image.fromarray(image).convert("L")))
    assert is_warned(decode_image(data, DecodeLimits()).pixels)


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG1_J2KR.dcm"])
def test_a_real_film_is_not(name):
    assert not is_warned(decode_image(make.example(name), DecodeLimits()).pixels)


def test_brightness_and_contrast_do_not_count():
    film = make.film(97, 61).astype(np.float32)
    assert thumbnail(film).shape == (SIDE**2,)
    assert thumbnail(film) == pytest.approx(thumbnail(film * 0.25 + 7), abs=1e-3)
