"""A small made data set in CheXpert's layout, and a recipe that trains on it in seconds."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.patchnet.findings import FINDING_NAMES
from training import commands
from training.data.description import DatasetDescription, write_description
from training.recipe import Recipe


def make_films(folder: Path, name: str, count: int, seed: int) -> None:
    """Noise films; those with 'Edema' have a bright square somewhere."""
    generator = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Path", "Sex", *FINDING_NAMES, "Collection"])
        for index in range(count):
            pixels = generator.integers(40, 120, (128, 128), dtype=np.uint8)
            sick = index % 2
            if sick:
                row, column = generator.integers(0, 96, 2)
                pixels[row : row + 32, column : column + 32] += 100
            path = f"{name}/{index}.png"
            Image.fromarray(pixels).save(folder / path)
            labels = ["" if finding == "Fracture" else str(float(sick)) for finding in FINDING_NAMES]
            writer.writerow([path, "Female" if index % 3 else "Male", *labels, "AB"[index % 2]])


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed, (name, count) in enumerate({"train": 20, "valid": 12, "test": 20}.items()):
        make_films(folder, name, count, seed)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "name": "small",
            "backbone": "efficientnet_lite0",
            "image_size": 128,
            "data": {"train": ["train.csv"], "valid": "valid.csv", "test": "test.csv"},
            "epochs": 2,
            "batch_images": 4,
            "patch_share": 0.5,
            "average_decay": 0.9,
            "mixed_precision": False,
            "freeze_norms": True,
            "head_penalty": 0.001,
        }
    )


def make_data(folder: Path, description: DatasetDescription | None) -> Path:
    """Training, validation and test films in a folder, with a description of the data set."""
    for name in ("train", "valid", "test"):
        make_films(folder, name, 18, seed=len(name))
    if description is not None:
        write_description(description, folder)
    return folder


def publish_one_step(folder: Path, recipe: Recipe, tmp_path: Path) -> Path:
    """One optimiser step on 18 radiographs, from random weights."""
    one_step = {"epochs": 1, "batch_images": 18, "head_penalty": None, "initial": "random", "micro_batch_images": 6}
    (tmp_path / "recipe.yaml").write_text(recipe.model_copy(update=one_step).model_dump_json())
    arguments = tmp_path / "recipe.yaml", folder, tmp_path / "work"
    commands.train(*arguments, "cpu")
    commands.publish(*arguments, tmp_path / "published", "1", "cpu")
    return tmp_path / "published"
