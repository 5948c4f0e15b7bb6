"""Figures of maps against masks, compared with CheXlocalize's own evaluation and by hand."""

import json

import numpy as np
import pytest

from app.errors import ConfigurationError
from training.compare.annotations import (
    Annotations,
    box_mask,
    encode,
    read_annotations,
    read_chexlocalize,
    write_chexlocalize,
)
from training.compare.localization import (
    energy_inside,
    hit,
    iou,
    iou_curve,
    normalized,
    place_square,
    precision_at_area,
    resize_map,
)
from training.compare.measured import tune


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "golden"
    maps = np.load(folder / "localization_maps.npz")
    expected = json.loads((folder / "localization_expected.json").read_text())
    truth = read_chexlocalize(folder / "localization_gt.json")
    pairs = [tuple(name.split("|")) for name in maps.files]
    cases = {}
    for film, finding in pairs:
        encoded = truth.masks[film, finding]
        mask = truth.mask(film, finding)
        shape = tuple(encoded["size"])
        mask = np.zeros(shape, dtype=bool) if mask is None else mask
        cases[film, finding] = (resize_map(maps[f"{film}|{finding}"], shape), mask)
    return cases, expected


def test_hits_are_chexlocalizes(golden):
    cases, expected = golden
    for (film, finding), (saliency_map, mask) in cases.items():
        ours = int(hit(saliency_map, mask)) if mask.any() else None
        assert ours == expected["hit"][film][finding]


def test_iou_is_chexlocalizes(golden):
    cases, expected = golden
    for (film, finding), (saliency_map, mask) in cases.items():
        predicted = normalized(saliency_map) > expected["thresholds"][finding]
        assert iou(predicted, mask) == pytest.approx(expected["iou_all"][film][finding], abs=1e-9)
        if mask.any() and predicted.any():
            assert iou(predicted, mask) == pytest.approx(expected["iou_tp"][film][finding], abs=1e-9)
        else:
            assert expected["iou_tp"][film][finding] is None


def test_mean_iou_by_threshold_is_chexlocalizes(golden):
    cases, expected = golden
    for finding, by_threshold in expected["mean_iou_by_threshold"].items():
        thresholds = np.array([float(text) for text in by_threshold])
        curves = [
            iou_curve(*case, thresholds) for (_, name), case in cases.items() if name == finding and case[1].any()
        ]
        np.testing.assert_allclose(np.mean(curves, axis=0), list(by_threshold.values()), atol=1e-9, rtol=0)


def test_a_threshold_is_tuned_on_marked_films_only():
    nothing = np.full(2, np.nan)
    iou_by_film = np.array([[[0.1, 0.5], nothing], [[0.4, 0.1], nothing], [nothing, nothing]])  # 3 films, 2 findings
    np.testing.assert_array_equal(tune(iou_by_film), [1.0, np.nan])


def test_the_curve_equals_thresholding_one_by_one():
    generator = np.random.default_rng(3)
    saliency_map = generator.random((13, 17)).astype(np.float32)
    mask = generator.random((13, 17)) > 0.7
    thresholds = np.array([0.1, 0.5, 0.93])
    singly = [iou(normalized(saliency_map) > threshold, mask) for threshold in thresholds]
    np.testing.assert_allclose(iou_curve(saliency_map, mask, thresholds), singly)


def test_a_square_map_lies_in_the_middle_of_a_wide_film():
    placed = place_square(np.ones((2, 2), dtype=np.float32) * [[1, 5], [1, 1]], (4, 10)).astype(float)
    assert placed.shape == (4, 10)
    assert (placed[:, :3] == 1).all()
    assert (placed[:, 7:] == 1).all()
    assert np.unravel_index(placed.argmax(), placed.shape) == (0, 6)


def test_energy_counts_evidence_for_a_finding_only():
    saliency_map = np.array([[3.0, -9.0], [1.0, 0.0]], dtype=np.float32)
    mask = np.array([[True, True], [False, False]])
    assert energy_inside(saliency_map, mask) == pytest.approx(0.75)
    assert energy_inside(-np.abs(saliency_map), mask) == 0.0


def test_precision_takes_as_many_pixels_as_the_mask_has():
    saliency_map = np.array([[4.0, 3.0, 2.0, 1.0]], dtype=np.float32)
    assert precision_at_area(saliency_map, np.array([[True, False, True, False]])) == pytest.approx(0.5)


def test_boxes_are_fractions_of_the_film_and_several_make_one_mask():
    mask = box_mask([(0.0, 0.0, 0.5, 0.25), (0.75, 0.5, 0.25, 0.5)], (8, 4))
    assert mask.sum() == 2 * 2 + 4 * 1
    assert mask[1, 1]
    assert mask[7, 3]


def test_masks_come_back_from_chexlocalizes_format(tmp_path):
    mask = np.random.default_rng(0).random((11, 7)) > 0.5
    write_chexlocalize({("p1_study1_view1_frontal", "Lung Opacity"): mask}, tmp_path / "masks.json")
    truth = read_annotations(tmp_path / "masks.json")
    np.testing.assert_array_equal(truth.mask("p1_study1_view1_frontal", "Lung Opacity"), mask)
    assert truth.findings() == ["Lung Opacity"]


def test_chexlocalizes_airspace_opacity_is_lung_opacity(tmp_path):
    encoded = encode(np.ones((3, 5), dtype=bool))
    (tmp_path / "gt.json").write_text(json.dumps({"film": {"Airspace Opacity": encoded}}))
    assert read_chexlocalize(tmp_path / "gt.json").findings() == ["Lung Opacity"]


def test_an_empty_mask_marks_nothing():
    empty = Annotations({("film", "Edema"): encode(np.zeros((3, 5), dtype=bool))}, complete=True)
    assert empty.mask("film", "Edema") is None
    assert empty.findings() == []


@pytest.mark.parametrize(
    ("name", "content"), [("x.csv", "Path,Finding\n1,Edema\n"), ("x.json", '{"film": 3}'), ("x.txt", "")]
)
def test_other_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError):
        read_annotations(tmp_path / name)
