import numpy as np
import torch
from scipy import ndimage

from app.anatomy.components import largest_component
from app.anatomy.masks import SIDE, dice, masks_of, segmenter_input
from app.anatomy.segmenter import HEART, LEFT_LUNG, RIGHT_LUNG, Segmenter, class_map
from tests.unit.anatomy import chests


def test_the_largest_component_is_that_of_scipy():
    generator = np.random.default_rng(3)
    for density in (0.3, 0.55, 0.7):
        mask = generator.random((23, 31)) < density
        labels, _ = ndimage.label(mask)
        sizes = np.bincount(labels.ravel())[1:]
        kept = largest_component(mask)
        assert kept.sum() == sizes.max()
        assert len(np.unique(labels[kept])) == 1
    assert not largest_component(np.zeros((3, 5), dtype=bool)).any()


def test_masks_follow_the_logits():
    drawn = chests.classes()
    found = masks_of(chests.logits(drawn, 128), 128)
    for organ in (LEFT_LUNG, RIGHT_LUNG, HEART):
        assert dice(found.classes == organ, drawn == organ) > 0.93
        assert found.agreement[organ] > 0.99
        assert found.whole_shares[organ] == 1


def test_detached_pieces_are_left_out():
    drawn = chests.classes()
    drawn[220:240, 40:60] = HEART
    found = masks_of(chests.logits(drawn, 128), 128)
    assert not found.heart[220:240].any()
    assert 0.8 < found.whole_shares[HEART] < 0.95


def test_an_answer_that_the_mirror_image_contradicts_agrees_less():
    direct = chests.logits(chests.classes(), 128)
    moved = np.roll(chests.classes(), 20, axis=1)
    contradicted = torch.stack((direct[0], chests.logits(moved, 128)[1]))
    assert masks_of(contradicted, 128).agreement[HEART] < 0.85


def test_the_segmenter_reads_an_image_and_its_mirror_image():
    image = torch.rand(1, 128, 128)
    inputs = segmenter_input(image, 64)
    assert inputs.shape == (2, 1, 64, 64)
    torch.testing.assert_close(inputs[1], inputs[0].flip(-1))
    answers = class_map(Segmenter().eval()(inputs), 64)
    assert answers.shape == (2, 4, 64, 64)
    torch.testing.assert_close(answers.sum(dim=1), torch.ones(2, 64, 64))
    assert masks_of(answers.new_zeros(2, 4 * 32 * 32), 64).classes.shape == (SIDE, SIDE)
