"""The division of radiographs by patient: no patient in two parts, and later radiographs move none of before."""

import csv

import pytest

from app.errors import ConfigurationError
from training.data.split import split

SHARES = {"valid": 0.2, "test": 0.3}


def films(folder, patients):
    """A CSV file of two radiographs of each patient."""
    with (folder / "films.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Path", "Patient", "Edema"])
        writer.writerows([f"films/{patient}-{index}.png", patient, "1.0"] for patient in patients for index in (0, 1))
    return folder / "films.csv"


def parts(folder):
    """Part of each patient, and all paths."""
    part_of, paths = {}, []
    for file in sorted(folder.glob("*.csv")):
        for row in csv.DictReader(file.read_text().splitlines()):
            assert part_of.setdefault(row["Patient"], file.stem) == file.stem
            paths.append(row["Path"])
    return part_of, paths


def test_a_patient_is_in_one_part_and_each_part_has_about_its_share(tmp_path):
    counts = split(films(tmp_path, range(500)), tmp_path / "split", SHARES, 0)
    part_of, paths = parts(tmp_path / "split")
    assert sum(counts.values()) == len(set(paths)) == 1000
    for name, share in (("train", 0.5), ("valid", 0.2), ("test", 0.3)):
        assert list(part_of.values()).count(name) / 500 == pytest.approx(share, abs=0.07)
    assert "../films/7-0.png" in paths


def test_nothing_is_kept_for_training_where_the_shares_leave_nothing(tmp_path):
    (tmp_path / "dataset.yaml").write_text("name: made")
    counts = split(films(tmp_path, range(50)), tmp_path / "split", {"valid": 0.5, "test": 0.5}, 0)
    assert set(counts) == {"valid", "test"}
    assert {file.name for file in (tmp_path / "split").iterdir()} == {"valid.csv", "test.csv", "dataset.yaml"}


def test_more_patients_move_none_of_before(tmp_path):
    split(films(tmp_path, range(100)), tmp_path / "first", SHARES, 0)
    split(films(tmp_path, range(200)), tmp_path / "second", SHARES, 0)
    before, after = parts(tmp_path / "first")[0], parts(tmp_path / "second")[0]
    assert {patient: after[patient] for patient in before} == before
    split(films(tmp_path, range(100)), tmp_path / "other", SHARES, 1)
    assert parts(tmp_path / "other")[0] != before


@pytest.mark.parametrize(
    ("patients", "message"), [(["1", " "], "2 rows without a Patient"), (["1"], "too few patients: none for")]
)
def test_what_cannot_be_divided_is_refused(tmp_path, patients, message):
    with pytest.raises(ConfigurationError, match=message):
        split(films(tmp_path, patients), tmp_path / "split", SHARES, 0)
    assert not (tmp_path / "split").exists()


def test_a_division_is_never_replaced(tmp_path):
    split(films(tmp_path, range(50)), tmp_path / "split", SHARES, 0)
    with pytest.raises(ConfigurationError, match="exists"):
        split(films(tmp_path, range(50)), tmp_path / "split", SHARES, 0)
