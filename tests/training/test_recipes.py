from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import ConfigurationError
from app.patchnet.backbones import BACKBONES
from training import recipe as config
from training.recipe import read_recipe

RUNS = Path(config.__file__).parent / "runs"
VOC = config.Data(layout="voc2012", train=["train"], valid="val", keep_in_memory=False)


@pytest.mark.parametrize("path", sorted(RUNS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_built(path):
    recipe = read_recipe(path)
    assert recipe.backbone in BACKBONES
    assert recipe.image_size % recipe.patch_size == 0


def test_the_papers_recipe_is_the_papers():
    recipe = read_recipe(RUNS / "medicalpatchnet.yaml")
    assert (recipe.backbone, recipe.image_size, recipe.patch_size) == ("efficientnet_v2_s", 512, 64)
    assert (recipe.epochs, recipe.batch_images, recipe.peak_rate, recipe.warmup_share) == (20, 16, 1e-4, 0.05)
    assert (recipe.augmentation.area, recipe.augmentation.rotation_degrees) == ((0.5, 1.0), 5.0)
    assert recipe.augmentation.brightness == (0.7, 1.3)
    assert (recipe.augmentation.flip_probability, recipe.augmentation.blur_probability) == (0, 0)
    assert (recipe.patch_share, recipe.freeze_norms, recipe.average_decay) == (1, False, 0)
    assert recipe.initial == "imagenet"
    assert recipe.mixed_precision


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("image_level", {"patch_size": 512}),
        ("patch_128", {"patch_size": 128}),
        ("patch_256", {"patch_size": 256}),
        ("convnext_base", {"backbone": "convnext_base"}),
        ("voc2012", {"data": VOC}),
        ("voc2012_image", {"data": VOC, "patch_size": 512}),
    ],
)
def test_comparisons_differ_from_the_papers_recipe_in_one_thing(name, changed):
    paper, other = read_recipe(RUNS / "medicalpatchnet.yaml"), read_recipe(RUNS / f"{name}.yaml")
    assert other == paper.model_copy(update={"name": other.name, **changed})
    assert other.name != paper.name


def test_sharp_files_are_training_files():
    with pytest.raises(ValidationError, match="sharp must name training files"):
        config.Data(train=["a.csv"], sharp=["b.csv"], valid="v.csv")


def test_an_unknown_field_is_named_with_the_one_that_it_resembles(tmp_path):
    text = (RUNS / "medicalpatchnet.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(text.replace("epochs:", "epoch:"))
    with pytest.raises(ConfigurationError, match="did you mean 'epochs' instead of 'epoch'"):
        read_recipe(tmp_path / "wrong.yaml")
