import os
import subprocess
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.errors import ConfigurationError
from app.patchnet import backbones
from app.patchnet.model import PatchNet
from training.data.augmentation import augment, choose_patches
from training.data.datasets import FilmDataset, read_films
from training.fit.distributed import World
from training.fit.loop import train
from training.fit.state import start
from training.recipe import Augmentation


def losses(folder):
    events = EventAccumulator(str(folder / "logs"))
    events.Reload()
    return [event.value for event in events.Scalars("loss/train")]


def test_two_processes_follow_the_curve_of_one(small_data, recipe, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text(recipe.model_copy(update={"micro_batch_images": 1}).model_dump_json())
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for launcher, name in (([], "one"), (torchrun, "two")):
        arguments = ["-m", "training", "train", "--config", config, "--data", small_data, "--work", tmp_path / name]
        # One thread each: AdamW turns the rounding of differently split sums into steps of another size.
        single = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *launcher, *arguments], check=True, env=single, timeout=240)
    assert len(losses(tmp_path / "one")) == 10
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    one, two = (torch.load(tmp_path / name / "last.pt", weights_only=True)["network"] for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=5e-4, rtol=1e-2)


def test_shares_of_a_batch_are_changed_as_the_whole_batch_is():
    images = torch.rand(6, 1, 64, 64)
    config = Augmentation(blur_probability=0.5, flip_probability=0.5)
    whole_generator = torch.Generator().manual_seed(3)
    whole = augment(images, config, whole_generator)
    chosen = choose_patches(whole.reshape(6, 4, 1, 32, 32), 0.5, whole_generator)
    for rank in range(2):
        share, generator = World(rank, 2).share, torch.Generator().manual_seed(3)
        part = augment(images[share], config, generator, 6, share)
        torch.testing.assert_close(part, whole[share])
        torch.testing.assert_close(
            choose_patches(part.reshape(3, 4, 1, 32, 32), 0.5, generator, 6, share), chosen[share]
        )


def test_a_batch_that_cannot_be_shared_evenly_is_refused(small_data, recipe, tmp_path):
    data = FilmDataset(read_films(small_data / "train.csv"), recipe.image_size)
    network = PatchNet(backbones.build(recipe.backbone, 14), recipe.image_size)
    with pytest.raises(ConfigurationError, match="3 processes"):
        train(start(network, recipe, 10), recipe, [data], data, tmp_path, World(rank=0, size=3))
