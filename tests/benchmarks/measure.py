"""Interleaved timing, facts about the machine, tables."""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

Row = dict[str, float | str]


@dataclass
class Report:
    """Tables by title; each is printed when it is added, all are written to one JSON file."""

    machine: dict[str, str | int]
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, title: str, rows: list[Row]) -> None:
        self.tables[title] = rows
        table = Table(title=title)
        for name in rows[0]:
            table.add_column(name)
        for row in rows:
            table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        Console(width=150).print(table)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, str | int]:
    """The hardware and the versions that the figures depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "openvino", "numpy", "pillow")},
    }


def interleaved(rivals: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each candidate; every round runs all of them, so that a slow moment affects all equally."""
    for run in rivals.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, run in rivals.items():
            begin = perf_counter()
            run()
            seconds[name].append(perf_counter() - begin)
    return {name: median(values) for name, values in seconds.items()}


def percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share))


def convolution_peak(rounds: int = 9) -> float:
    """The best float32 rate of a convolution on this machine, in FLOP/s, over several favourable shapes."""
    best = 0.0
    for channels, side, batch in ((128, 28, 32), (256, 14, 32), (256, 28, 16), (512, 14, 16)):
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
        images = torch.rand(batch, channels, side, side).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            seconds = interleaved({"conv": lambda layer=layer, images=images: layer(images)}, rounds)["conv"]
        best = max(best, 2 * 9 * channels**2 * side**2 * batch / seconds)
    return best
