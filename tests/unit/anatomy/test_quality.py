import numpy as np
import pytest

from app.anatomy.quality import reasons_against
from app.anatomy.segmenter import HEART, LEFT_LUNG, RIGHT_LUNG
from tests.unit.anatomy import chests


def codes(masks):
    return {reason.code for reason in reasons_against(masks)}


def test_nothing_speaks_against_a_plausible_chest():
    assert reasons_against(chests.masks()) == ()


def changed(change):
    drawn = chests.classes()
    change(drawn)
    return drawn


def without_heart(drawn):
    drawn[drawn == HEART] = 0


def with_a_small_lung(drawn):
    drawn[90:, chests.LEFT] = 0
    drawn[chests.HEART_ROWS, chests.HEART_COLUMNS] = HEART


def with_exchanged_lungs(drawn):
    right, left = drawn == RIGHT_LUNG, drawn == LEFT_LUNG
    drawn[right], drawn[left] = LEFT_LUNG, RIGHT_LUNG


def with_a_flat_lung(drawn):
    drawn[drawn == RIGHT_LUNG] = 0
    drawn[60:100, 10:90] = RIGHT_LUNG


def with_a_tongue_of_the_heart(drawn):
    drawn[174:180, 20:250] = HEART


def with_a_lung_far_below(drawn):
    drawn[drawn == LEFT_LUNG] = 0
    drawn[160:250, 180:240] = LEFT_LUNG


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (without_heart, "missing"),
        (with_a_small_lung, "area"),
        (with_exchanged_lungs, "position"),
        (with_a_flat_lung, "shape"),
        (with_a_tongue_of_the_heart, "shape"),
        (with_a_lung_far_below, "symmetry"),
    ],
)
def test_an_implausible_chest_is_not_trusted(change, code):
    assert code in codes(chests.masks(changed(change)))


@pytest.mark.parametrize(
    ("fact", "code"), [("whole_shares", "components"), ("agreement", "mirror"), ("certainty", "uncertain")]
)
def test_uncertain_masks_are_not_trusted(fact, code):
    assert codes(chests.masks(**{fact: (1.0, 1.0, 1.0, 0.6)})) == {code}


def test_a_reason_names_the_organ():
    (reason,) = reasons_against(chests.masks(np.zeros_like(chests.classes())))[:1]
    assert reason.detail == "the left lung was not found"
