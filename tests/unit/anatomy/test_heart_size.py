import numpy as np
import pytest

from app.anatomy.heart_size import heart_size
from app.anatomy.segmenter import HEART
from tests.unit.anatomy import chests


def test_the_ratio_is_the_width_of_the_heart_over_that_of_the_thorax():
    measured = heart_size(chests.masks())
    assert measured.ratio == pytest.approx(80 / (206 - 40))
    assert measured.thorax.start == pytest.approx(40 / 256)
    assert measured.thorax.end == pytest.approx(206 / 256)
    assert measured.heart_right.start == pytest.approx(90 / 256)
    assert measured.heart_left.end == pytest.approx(170 / 256)
    assert measured.heart_right.end == measured.heart_left.start == pytest.approx((40 + 206) / 2 / 256)
    assert measured.heart_right.row == pytest.approx((130 + 180) / 2 / 256)


def test_a_thin_tip_on_the_diaphragm_does_not_widen_the_heart():
    drawn = chests.classes()
    drawn[176:180, 60:200] = HEART
    assert heart_size(chests.masks(drawn)).ratio == heart_size(chests.masks()).ratio


def test_a_heart_beside_the_middle_has_lines_of_its_own_width():
    drawn = chests.classes()
    drawn[drawn == HEART] = 0
    drawn[130:180, 130:160] = HEART
    measured = heart_size(chests.masks(drawn))
    assert measured.ratio == pytest.approx(30 / (206 - 40))
    assert measured.heart_right.length + measured.heart_left.length == pytest.approx(30 / 256)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_nothing_is_measured_without_an_organ(missing):
    drawn = chests.classes()
    drawn[drawn == missing] = 0
    assert heart_size(chests.masks(drawn)) is None


def test_nothing_is_measured_where_the_lungs_lie_at_different_heights():
    drawn = np.zeros_like(chests.classes())
    drawn[20:60, chests.RIGHT], drawn[100:180, chests.LEFT], drawn[130:180, 100:150] = 2, 1, 3
    assert heart_size(chests.masks(drawn)) is None
