"""Training, validation and test radiographs of one CSV file, divided by patient."""

import csv
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from app.errors import ConfigurationError
from app.files import write_atomically
from training.data.description import DESCRIPTION
from training.data.layouts import Row, read_rows

_REST = "train"


def split(films: Path, out: Path, shares: Mapping[str, float], seed: int) -> dict[str, int]:
    """Write ``out/<part>.csv`` for each part of ``shares``, and ``out/train.csv`` of the rest; returns their sizes.

    A hash of the patient (column Patient) and the seed decides, so radiographs that are added later move no earlier
    one. ``shares`` are approximate shares of the patients. A description of the data set is copied. Raises
    ConfigurationError where a patient is not known, a file exists, or a part would be empty.
    """
    rows = list(read_rows(films, "Path", "Patient"))
    unknown = sum(not row["Patient"].strip() for row in rows)
    if unknown:
        raise ConfigurationError(f"{films} has {unknown} rows without a Patient; one patient must not be in two parts")
    rest = 1 - sum(shares.values())
    parts: dict[str, list[dict[str, str]]] = {name: [] for name, share in {_REST: rest, **shares}.items() if share}
    for row in rows:
        parts[_part_of(row["Patient"].strip(), shares, seed)].append(_moved(row, films.parent, out))
    empty = [name for name, chosen in parts.items() if not chosen]
    if empty:
        raise ConfigurationError(f"too few patients: none for {', '.join(empty)}; try another --seed")
    files = {name: out / f"{name}.csv" for name in parts}
    existing = [str(file) for file in files.values() if file.exists()]
    if existing:
        raise ConfigurationError(f"{', '.join(existing)} exists; a new division needs a new folder")
    out.mkdir(parents=True, exist_ok=True)
    for name, chosen in parts.items():
        _write(files[name], chosen)
    if (films.parent / DESCRIPTION).is_file():
        shutil.copyfile(films.parent / DESCRIPTION, out / DESCRIPTION)
    return {name: len(chosen) for name, chosen in parts.items()}


def _part_of(patient: str, shares: Mapping[str, float], seed: int) -> str:
    digest = hashlib.sha256(f"{seed} {patient}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return _REST


def _moved(row: Row, before: Path, after: Path) -> dict[str, str]:
    """The row with a path that is relative to its new folder."""
    return {**row, "Path": Path(os.path.relpath(before / row["Path"], after)).as_posix()}


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    with write_atomically(file) as fresh, fresh.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
