"""The segmenter from drawn masks to an artifact, on a few made radiographs."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from app.anatomy import artifact
from app.anatomy.masks import SIDE
from app.anatomy.segmenter import LEFT_LUNG, MIRRORED, RIGHT_LUNG
from app.errors import ArtifactError, ConfigurationError
from app.patchnet.artifact import WEIGHTS
from tests.unit.anatomy import chests
from training.__main__ import ANATOMY_RECIPE
from training.anatomy.augmentation import change
from training.anatomy.box_zones import read_marked
from training.anatomy.data import read_drawn
from training.anatomy.fit import fit
from training.anatomy.published import write_segmenter
from training.anatomy.recipe import AnatomyRecipe, Changes
from training.files import read_model


@pytest.fixture(scope="module")
def drawn_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    generator = np.random.default_rng(0)
    with (folder / "drawn.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Path", "Labels"])
        for index in range(4):
            classes = chests.classes()
            pixels = 90 + 30 * classes + generator.integers(0, 20, classes.shape, dtype=np.uint8)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
            Image.fromarray(classes).save(folder / f"{index}_labels.png")
            writer.writerow([f"{index}.png", f"{index}_labels.png"])
    return folder


@pytest.fixture(scope="module")
def recipe():
    stages = [{"image_size": side, "epochs": 1, "peak_rate": 1e-3} for side in (32, 64)]
    texts = dict.fromkeys(("training_data", "attribution", "licence"), "tests")
    files = {"train": "drawn.csv", "valid": "drawn.csv"}
    return AnatomyRecipe.model_validate(
        {"name": "small", "version": "0", "stages": stages, "batch_images": 2, **files, **texts}
    )


@pytest.fixture(scope="module")
def written(drawn_data, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    return folder, write_segmenter(fit(recipe, drawn_data, "cpu", pretrained=False), recipe, drawn_data, folder)


def test_a_trained_segmenter_becomes_an_artifact(written):
    folder, figures = written
    stored = artifact.read(folder)
    assert (stored.manifest.name, stored.manifest.image_size) == ("small", 64)
    assert stored.manifest.metrics == figures.metrics
    assert stored.network()(torch.rand(2, 1, 64, 64)).shape == (2, 4 * 32 * 32)
    assert "not trusted" in (folder / "MODEL_CARD.md").read_text()


def test_other_weights_than_those_of_the_manifest_are_refused(written, tmp_path):
    folder, _ = written
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / WEIGHTS).write_bytes(b"\0" + (folder / WEIGHTS).read_bytes()[1:])
    with pytest.raises(ArtifactError, match="sha256"):
        artifact.read(tmp_path)


def test_a_manifest_of_other_classes_is_refused(written, tmp_path):
    content = json.loads((written[0] / artifact.MANIFEST).read_bytes()) | {"classes": ["lung"]}
    (tmp_path / artifact.MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="classes"):
        artifact.read_manifest(tmp_path)


def test_the_shipped_recipe_can_be_read():
    assert read_model(ANATOMY_RECIPE, AnatomyRecipe).image_size % 16 == 0


def test_the_shipped_segmenter_fits_its_manifest():
    stored = artifact.read(ANATOMY_RECIPE.parents[3] / "models" / "chest-anatomy")
    assert stored.network().training is False
    assert stored.manifest.metrics["valid.dice.heart"] > 0.92


def test_masks_move_with_the_image(drawn_data):
    """Image and masks show the same squares after any change of place: the classes keep their gray levels."""
    drawn = read_drawn(drawn_data / "drawn.csv", SIDE)
    quiet = Changes(
        gamma=(1, 1), contrast=(1, 1), brightness=(1, 1), border_probability=0, haze_probability=0,
        blur_probability=0, noise=0, flip_probability=0,
    )  # fmt: skip
    images, masks = change(drawn.images, drawn.classes, 128, quiet, torch.Generator().manual_seed(1))
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(4, 128, 128))
    for organ in range(1, 4):
        inside = images[:, 0][masks[:, organ] > 0.999] * 255
        assert inside.mean() == pytest.approx(90 + 30 * organ + 9.5, abs=3)


def test_a_mirrored_image_has_its_lungs_exchanged(drawn_data):
    drawn = read_drawn(drawn_data / "drawn.csv", SIDE)
    still = {"scale": (1, 1), "stretch": 0, "rotation_degrees": 0, "shift": 0, "border_probability": 0}
    once, always = (Changes.model_validate({**still, "flip_probability": share}) for share in (0, 1))
    _, direct = change(drawn.images, drawn.classes, SIDE, once, torch.Generator().manual_seed(1))
    _, mirrored = change(drawn.images, drawn.classes, SIDE, always, torch.Generator().manual_seed(1))
    torch.testing.assert_close(mirrored, direct.flip(-1)[:, MIRRORED], atol=1e-4, rtol=0)
    assert MIRRORED[LEFT_LUNG] == RIGHT_LUNG


def test_a_mask_with_an_unknown_class_is_refused(drawn_data, tmp_path):
    Image.fromarray(np.full((SIDE, SIDE), 4, dtype=np.uint8)).save(tmp_path / "wrong.png")
    (tmp_path / "wrong.csv").write_text(f"Path,Labels\n{drawn_data / '0.png'},wrong.png\n")
    with pytest.raises(ConfigurationError, match="class above 3"):
        read_drawn(tmp_path / "wrong.csv")


def test_boxes_of_one_finding_are_one_case(tmp_path):
    rows = (
        "Path,Finding,x,y,width,height\na.png,Edema,0.1,0.2,0.2,0.4\na.png,Edema,0.5,0.5,0.1,0.1\nb.png,Mass,0,0,1,1\n"
    )
    (tmp_path / "boxes.csv").write_text(rows.replace("Mass", "Pneumonia"))
    first, second = read_marked(tmp_path / "boxes.csv")
    assert first.centres == (pytest.approx((0.4, 0.2)), pytest.approx((0.55, 0.55)))
    assert second.film == tmp_path / "b.png"
    assert len(read_marked(tmp_path / "boxes.csv", most=1)) == 1
