"""Radiographs of any source → square 8-bit PNGs and CSV files for training. Parallel; an interrupted run continues."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from app.errors import ConfigurationError, MedPatchNetError
from app.files import write_atomically
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.preprocessing import to_model_image
from training.data.layouts import SourceFilm


@dataclass(frozen=True)
class Prepared:
    """The result of a preparation: CSV files, usable radiographs, reasons of rejection by file, description file."""

    csv_files: tuple[Path, ...]
    films: int
    refused: dict[str, str]
    description: Path | None = None


def prepare(films: Iterable[SourceFilm], out: Path, image_size: int, workers: int) -> Prepared:
    """Write ``out/<split>/<target>.png`` for every radiograph, and ``out/<split>.csv`` for every split.

    Existing files are kept and every file is complete or absent, so a killed run can be repeated. Radiographs that
    cannot be decoded are left out of the CSV and listed in ``out/<split>_refused.csv``. Raises ConfigurationError where
    two radiographs would share a file, a path leaves ``out``, or no radiograph is usable.
    """
    wanted = list(films)
    targets = {out / film.split / f"{film.target}.png": film for film in wanted}
    if len(targets) != len(wanted):
        first, second = _same_target(wanted)
        raise ConfigurationError(f"two films would be written to the same file: {first} and {second}")
    if any(".." in target.parts for target in targets):
        raise ConfigurationError("a film's path leads out of the data set's folder")
    missing = [(film.file, target) for target, film in targets.items() if not target.is_file()]
    refused = _make(missing, image_size, workers)
    usable = {target: film for target, film in targets.items() if target not in refused}
    if not usable:
        raise ConfigurationError(f"no film is usable; the first reason: {next(iter(refused.values()), 'none found')}")
    csv_files: list[Path] = []
    for split in sorted({film.split for film in wanted}):
        rows = [_row(out, target, film) for target, film in usable.items() if film.split == split]
        if rows:
            csv_files.append(_write_csv(out / f"{split}.csv", rows))
        named = [
            {"File": str(targets[target].file), "Reason": reason}
            for target, reason in refused.items()
            if targets[target].split == split
        ]
        if named:
            _write_csv(out / f"{split}_refused.csv", named)
    reasons = {str(targets[target].file): reason for target, reason in refused.items()}
    return Prepared(tuple(csv_files), len(usable), reasons)


def _same_target(films: Sequence[SourceFilm]) -> tuple[Path, Path]:
    """The files of the first two films that would be written to one file."""
    seen: dict[tuple[str, str], Path] = {}
    for film in films:
        key = (film.split, film.target)
        if key in seen:
            return seen[key], film.file
        seen[key] = film.file
    raise ValueError("every film has a file of its own")


def make_film(file: Path, target: Path, image_size: int) -> str | None:
    """Decode one radiograph, crop and resize it as in the service, and write it; returns the reason of a rejection."""
    try:
        radiograph = decode_image(file.read_bytes(), DecodeLimits())
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except MedPatchNetError as error:
        return f"{error.code}: {error.detail}"
    square = to_model_image(radiograph.pixels, image_size).tensor[0]  # [S, S]
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as fresh:
        Image.fromarray((square * 255).round().to(torch.uint8).numpy()).save(fresh, format="png")
    return None


def _make(missing: Sequence[tuple[Path, Path]], image_size: int, workers: int) -> dict[Path, str]:
    """Write the missing radiographs; returns the reasons of rejection by target."""
    outcomes = tqdm(
        _outcomes(missing, image_size, workers), "preparing", len(missing), unit="film", disable=not missing
    )
    return {target: reason for target, reason in outcomes if reason is not None}


def _outcomes(missing: Sequence[tuple[Path, Path]], image_size: int, workers: int) -> Iterator[tuple[Path, str | None]]:
    """Write radiographs; yields target and reason of rejection as each is done. One worker is this process."""
    if workers == 1:
        for file, target in missing:
            yield target, make_film(file, target, image_size)
        return
    # Fresh interpreters: a fork of a process with running threads can hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        running = {pool.submit(make_film, file, target, image_size): target for file, target in missing}
        for done in as_completed(running):
            yield running[done], done.result()


def _row(out: Path, target: Path, film: SourceFilm) -> dict[str, str]:
    facts = {
        "Path": target.relative_to(out).as_posix(),
        "Patient": film.patient,
        "Sex": film.sex,
        "Age": film.age,
        "Frontal/Lateral": film.frontal_lateral,
        "AP/PA": film.ap_pa,
    }
    return facts | {name: film.labels.get(name, "") for name in FINDING_NAMES} | film.more


def _write_csv(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with write_atomically(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
