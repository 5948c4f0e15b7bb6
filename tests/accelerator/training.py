"""Training on the device for as long as there is time: radiographs a second, memory, loss, and the weights."""

import csv
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, ScalarEvent

from app.patchnet.findings import FINDING_NAMES
from tests.accelerator.context import Context
from tests.benchmarks.measure import Row
from tests.benchmarks.stages import jpeg_film
from training.recipe import Recipe, read_recipe

_ROOT = Path(__file__).resolve().parent.parent.parent
_PAPER = _ROOT / "training" / "runs" / "medicalpatchnet.yaml"
_SYNTHETIC_FILMS = 512
_PIECE_BYTES = 15 * 2**20  # files of at most 16 MiB come back from a machine that is lent for one command
_STOP_S = 20.0
_MEMORY_EVERY_S = 2.0


def training(context: Context) -> None:
    """Train by the paper's recipe, or by the recipe of the data folder, and stop at the deadline."""
    recipe, data = _recipe(context)
    config = context.out / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    work = context.out / "work"
    command = [sys.executable, "-m", "training", "train", "--config", str(config), "--data", str(data)]
    command += ["--work", str(work), "--device", context.device]
    with (context.out / "training.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=log, start_new_session=True)
        memory = _watch(process, context)
    losses = _losses(work / "logs")
    if len(losses) < 2:
        tail = (context.out / "training.log").read_text(errors="replace").splitlines()[-1:]
        context.miss("training", f"fewer than two steps were done: {' '.join(tail)[-200:]}")
        return
    context.add("Training", _row(recipe, losses, memory))
    if (best := work / "best.pt").exists():
        _split(best, context.out)


def _recipe(context: Context) -> tuple[Recipe, Path]:
    """The recipe, and the folder that its data are relative to."""
    if context.data is not None and (context.data / "recipe.yaml").exists():
        return read_recipe(context.data / "recipe.yaml"), context.data
    recipe = read_recipe(_PAPER)
    data = context.data
    if data is None:
        data = context.out / "synthetic"
        _write_films(data, 32 if context.quick else _SYNTHETIC_FILMS)
    files = recipe.data.model_copy(update={"train": ["train.csv"], "valid": "valid.csv", "test": None})
    changes: dict[str, object] = {"data": files, "initial": "random", "checkpoint_steps": 1_000_000}
    if context.quick:
        changes |= {"backbone": "efficientnet_lite0", "image_size": 128, "batch_images": 4, "epochs": 1}
        changes |= {"mixed_precision": False}
    return recipe.model_copy(update=changes), data


def _write_films(folder: Path, count: int) -> None:
    """Synthetic radiographs with alternating labels, in the layout of prepared data."""
    (folder / "films").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / "films" / f"{number}.jpg").write_bytes(jpeg_film(512, number))
    for name, numbers in (("train", range(count)), ("valid", range(min(count, 16)))):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["Path", *FINDING_NAMES])
            writer.writerows([f"films/{number}.jpg", *[float(number % 2)] * len(FINDING_NAMES)] for number in numbers)


def _watch(process: subprocess.Popen[bytes], context: Context) -> float:
    """Wait for the end or the deadline, then stop the process; the most memory of the device seen, MiB."""
    most = 0.0
    while process.poll() is None and context.seconds_left > _STOP_S:
        most = max(most, _used_memory() if context.device == "cuda" else 0.0)
        try:
            process.wait(_MEMORY_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_S / 2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return most


def _used_memory() -> float:
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return max(float(line) for line in subprocess.run(query, check=True, capture_output=True, text=True).stdout.split())


def _losses(logs: Path) -> list[ScalarEvent]:
    events = EventAccumulator(str(logs))
    events.Reload()
    return events.Scalars("loss/train") if "loss/train" in events.Tags()["scalars"] else []


def _row(recipe: Recipe, losses: list[ScalarEvent], memory: float) -> Row:
    """Speed from the median time between steps, which leaves out validation and the first, slow steps."""
    seconds = median(
        (later.wall_time - sooner.wall_time) / (later.step - sooner.step) for sooner, later in pairwise(losses)
    )
    tenth = max(1, len(losses) // 10)
    return {
        "recipe": recipe.name,
        "backbone": recipe.backbone,
        "steps": losses[-1].step,
        "images/s": recipe.batch_images / max(seconds, 1e-9),
        "memory MiB": memory,
        "loss at first": sum(event.value for event in losses[:tenth]) / tenth,
        "loss at last": sum(event.value for event in losses[-tenth:]) / tenth,
    }


def _split(weights: Path, out: Path) -> None:
    """Copy the weights in pieces ``weights.000``, ``weights.001``, …; `cat` in this order restores the file."""
    content = weights.read_bytes()
    for number, begin in enumerate(range(0, len(content), _PIECE_BYTES)):
        (out / f"weights.{number:03}").write_bytes(content[begin : begin + _PIECE_BYTES])
