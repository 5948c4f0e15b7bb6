"""PASCAL VOC 2012 on a small made copy in its format: colour photographs, XML, lists of names."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from app.errors import ConfigurationError
from tests.training.test_recipes import RUNS
from training import commands
from training.data.voc import CLASSES, read_picture, read_voc
from training.recipe import read_recipe

OBJECT = "<object><name>{}</name><difficult>{}</difficult></object>"


def make_copy(folder):
    """16 pictures an image set; those with a cat have a bright square, the last has a difficult sheep beside it."""
    root = folder / "VOCdevkit/VOC2012"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for image_set in ("train", "val"):
        names = [f"2012_{image_set}_{index:03d}" for index in range(16)]
        (root / f"ImageSets/Main/{image_set}.txt").write_text("\n".join(names) + "\n")
        for index, name in enumerate(names):
            pixels = generator.integers(40, 120, (96, 128, 3), dtype=np.uint8)
            if index % 2:
                pixels[20:60, 40:80] += 100
            Image.fromarray(pixels).save(root / f"JPEGImages/{name}.jpg")
            things = [OBJECT.format("cat" if index % 2 else "person", 0)]
            things += [OBJECT.format("sheep", 1), OBJECT.format("cat", 1)] if index == 15 else []
            (root / f"Annotations/{name}.xml").write_text(f"<annotation>{''.join(things)}</annotation>")
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return make_copy(tmp_path_factory.mktemp("voc"))


def test_labels_are_the_things_in_a_picture_and_difficult_ones_are_unknown(copy):
    films = read_voc(copy, "train")
    assert films.labels.shape == (16, 20)
    cat, person, sheep = (CLASSES.index(name) for name in ("cat", "person", "sheep"))
    assert films.labels[0].nonzero().flatten().tolist() == [person]
    assert films.labels[15, cat] == 1  # one of two cats is not difficult
    assert films.labels[15, sheep].isnan()
    assert int(films.labels.isnan().sum()) == 1


def test_a_photograph_is_read_whole_and_in_grey(copy):
    picture = read_picture(copy / "VOCdevkit/VOC2012/JPEGImages/2012_val_001.jpg", 64)
    assert picture.shape == (1, 64, 64)
    assert picture.dtype == torch.float32
    assert picture[0, 20:36, 24:36].mean() > picture[0, :8].mean() + 0.2


@pytest.mark.parametrize("name", ["voc2012", "voc2012_image"])
def test_the_recipes_train_and_are_measured(copy, tmp_path, name):
    """As shipped, but for a small network, small pictures and a fitted head instead of twenty epochs."""
    recipe = read_recipe(RUNS / f"{name}.yaml")
    small = {"backbone": "efficientnet_lite0", "image_size": 128, "epochs": 0, "head_penalty": 0.01}
    small["patch_size"] = 128 if recipe.patch_size == 512 else 64
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe.model_copy(update=small).model_dump(mode="json")))
    commands.train(config, copy, tmp_path / "work", "cpu")
    figures = json.loads(json.dumps(commands.measure_run(config, copy, tmp_path / "work", 50, "cpu")))
    assert set(figures["auroc"]) == {"cat", "person", "mean"}  # all others are in no picture
    assert figures["auroc"]["cat"] > 0.9
    assert figures["auroc"]["mean"] == pytest.approx(np.mean([figures["auroc"][name] for name in ("cat", "person")]))
    low, high = figures["auroc_interval"]["mean"]
    assert low <= figures["auroc"]["mean"] <= high
    with pytest.raises(ConfigurationError, match="other classes"):
        commands.publish(config, copy, tmp_path / "work", tmp_path / "artifact", "1", "cpu")


def test_a_folder_without_the_data_set_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no image set 'val'"):
        read_voc(tmp_path, "val")
