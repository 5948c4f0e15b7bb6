"""Captions: below the picture, complete, and readable at every size."""

from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFont

from app.rendering import captions
from app.rendering.captions import Caption, Scale, add_caption, evidence_caption, wrap
from app.rendering.wording import ascii_text, conclusion, headline, listed, percent

BAR = np.array([[[0, 0, 200], [90, 90, 90], [200, 0, 0]]], np.uint8)
LONG = Caption(
    "Enlarged Cardiomediastinum 64 %: positive (hausarztpraxis-ärzte-müller, from 42 %)", ("Modell für Ärzte",)
)


def finding(name, probability, **values):
    usual = {"status": "validated", "threshold": 0.42, "positive": True, "operating_point": "balanced"}
    return SimpleNamespace(name=name, probability=probability, **{**usual, "contradicted_by": (), **values})


def captioned(rows, columns, caption=LONG) -> np.ndarray:
    picture = Image.fromarray(np.full((rows, columns, 3), 77, np.uint8))
    return np.asarray(add_caption(picture, caption, Scale(BAR, 17.5)))


@pytest.mark.parametrize(("rows", "columns"), [(11, 13), (113, 127), (400, 300), (1024, 900), (1955, 1841), (64, 4096)])
def test_the_picture_stays_and_the_band_is_below(rows, columns):
    whole = captioned(rows, columns)
    assert (whole[:rows, :columns] == 77).all()
    assert (whole[:rows, columns:] == 0).all()
    band = whole[rows:]
    written = (band == 255).all(axis=2)
    assert written.any()
    edges = np.concatenate([written[:, :3], written[:, -3:]], axis=1)
    assert not edges.any()
    assert not written[-3:].any()


def test_the_legend_goes_from_against_on_the_left_to_for_on_the_right():
    band = captioned(400, 600)[400:]
    blue, red = (np.argwhere((band == BAR[0, place]).all(axis=2))[:, 1] for place in (0, 2))
    assert blue.max() < red.min()


@pytest.mark.parametrize("width", [60, 150, 400])
def test_every_letter_of_a_wrapped_text_fits(width):
    font = ImageFont.truetype(captions._FONT_FILE, 13)
    lines = wrap(LONG.title, font, width)
    assert all(font.getlength(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == LONG.title.replace(" ", "")


def test_the_font_has_the_letters_of_latin_scripts():
    font = ImageFont.truetype(captions._FONT_FILE, 20)
    missing = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) != missing for letter in "äöüßÄÖÜéèçñøåšžőłİ≥±–")


def test_a_caption_names_finding_decision_model_date_and_intended_use():
    made = evidence_caption(
        finding("Edema", 0.64), SimpleNamespace(name="chest", version="1.2.0"), datetime(2026, 3, 4, 5, 6)
    )
    assert made.title == "Edema 64 %: positive (balanced, from 42 %)"
    assert made.lines == (
        "Model chest 1.2.0, 2026-03-04 05:06",
        "AI, research use; not a medical device, not verified by a physician",
    )


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (finding("Edema", 0.2, positive=False), "Edema 20 %: negative (balanced, from 42 %)"),
        (
            finding("No Finding", 0.6, positive=False, contradicted_by=("Edema", "Fracture")),
            "No Finding 60 %: negative, contradicted by Edema and Fracture",
        ),
        (finding("Edema", 0.2, positive=None, threshold=None, status="weak"), "Edema 20 %: no decision (weak)"),
        (finding("Edema", 0.5, status="imported"), "Edema 50 %: positive (imported; balanced, from 42 %)"),
        (finding("Fracture", None, positive=None, status="untrained"), "Fracture: not judged (untrained)"),
    ],
)
def test_a_decision_in_words(decision, words):
    assert headline(decision) == words


def test_a_radiograph_without_decisions_has_no_conclusion_about_findings():
    undecided = finding("Edema", 0.2, positive=None, threshold=None, operating_point=None)
    assert conclusion([], [undecided]) == "No decision: no finding has an operating point."


@pytest.mark.parametrize(
    ("share", "words"), [(0.64, "64 %"), (0.0915, "9.2 %"), (0.0996, "10 %"), (0.0004, "0.0 %"), (1.0, "100 %")]
)
def test_percentages(share, words):
    assert percent(share) == words


def test_enumerations_and_plain_text():
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert ascii_text("200 × 300 – für 5 …") == "200 x 300 - f?r 5 ..."
