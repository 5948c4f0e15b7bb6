import csv
import gzip

import pytest

from app.errors import ConfigurationError
from app.patchnet.findings import FINDING_NAMES
from training.data.layouts import chexpert, mimic, nih, nih_labels


def write_csv(path, header, *rows):
    text = "\n".join(",".join(row) for row in (header, *rows)) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_visualchexberts_moved_label_column_is_read_by_name(tmp_path):
    moved = [*FINDING_NAMES[1:], FINDING_NAMES[0]]  # "No Finding" last
    row = ["1.0" if name in {"No Finding", "Support Devices"} else "0.0" for name in moved]
    path = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    labels = write_csv(tmp_path / "train.csv", ["Path", *moved], [path, *row])
    (film,) = chexpert(tmp_path, labels)
    assert {name for name, value in film.labels.items() if value == "1.0"} == {"No Finding", "Support Devices"}
    assert film.file == tmp_path / "train/patient00001/study1/view1_frontal.jpg"
    assert (film.patient, film.split) == ("patient00001", "train")


def test_chexperts_uncertain_and_unmentioned_labels_stay_apart(tmp_path):
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDING_NAMES]
    row = ["valid/patient7/study1/view1_frontal.jpg", "Female", "68", "Frontal", "AP", "-1.0", "", *["0.0"] * 12]
    (film,) = chexpert(tmp_path, write_csv(tmp_path / "valid.csv", header, row))
    assert (film.labels["No Finding"], film.labels["Enlarged Cardiomediastinum"]) == ("-1.0", "")
    assert (film.sex, film.age, film.frontal_lateral, film.ap_pa) == ("Female", "68", "Frontal", "AP")


def test_a_missing_or_doubled_finding_is_named(tmp_path):
    lacking = [name for name in FINDING_NAMES if name != "Fracture"]
    without = write_csv(tmp_path / "a.csv", ["Path", *lacking], ["x.jpg", *["0.0"] * 13])
    twice = write_csv(tmp_path / "b.csv", ["Path", *FINDING_NAMES, "Airspace Opacity"], ["x.jpg", *["0.0"] * 15])
    pathless = write_csv(tmp_path / "c.csv", FINDING_NAMES, ["0.0"] * 14)
    with pytest.raises(ConfigurationError, match="Fracture"):
        list(chexpert(tmp_path, without))
    with pytest.raises(ConfigurationError, match="two columns for 'Lung Opacity'"):
        list(chexpert(tmp_path, twice))
    with pytest.raises(ConfigurationError, match="no column Path"):
        list(chexpert(tmp_path, pathless))


def test_mimic_joins_labels_views_and_splits(tmp_path):
    alphabetical = sorted(FINDING_NAMES)
    row = ["1.0" if name == "Edema" else "" for name in alphabetical]
    labels = write_csv(
        tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz",
        ["subject_id", "study_id", *alphabetical],
        ["10000032", "50414267", *row],
    )
    write_csv(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", ["dicom_id", "ViewPosition"], ["aa", "AP"], ["bb", "LL"])
    write_csv(
        tmp_path / "mimic-cxr-2.0.0-split.csv",
        ["dicom_id", "study_id", "subject_id", "split"],
        ["aa", "50414267", "10000032", "train"],
        ["bb", "50414267", "10000032", "validate"],
        ["cc", "1", "10000032", "train"],
    )
    films = list(mimic(tmp_path, labels))
    assert [film.file.relative_to(tmp_path).as_posix() for film in films] == [
        "files/p10/p10000032/s50414267/aa.jpg",
        "files/p10/p10000032/s50414267/bb.jpg",
    ]
    assert [film.split for film in films] == ["train", "validate"]
    assert [(film.frontal_lateral, film.ap_pa) for film in films] == [("Frontal", "AP"), ("Lateral", "")]
    assert all(film.labels["Edema"] == "1.0" and film.labels["Fracture"] == "" for film in films)


def test_mimic_without_its_tables_says_which_is_missing(tmp_path):
    labels = write_csv(tmp_path / "labels.csv", ["subject_id", "study_id", *FINDING_NAMES])
    with pytest.raises(ConfigurationError, match="metadata"):
        list(mimic(tmp_path, labels))


def test_nih_finds_its_films_in_any_folder_and_keeps_the_official_test_films_apart(tmp_path):
    for folder, name in (("images_001/images", "00000001_000.png"), ("images", "00000002_000.png")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).touch()
    header = ["Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position"]
    labels = write_csv(
        tmp_path / "Data_Entry_2017.csv",
        header,
        ["00000001_000.png", "Effusion|Mass", "1", "58", "M", "PA"],
        ["00000002_000.png", "No Finding", "2", "081Y", "F", "AP"],
    )
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    first, second = nih(tmp_path, labels)
    assert (first.split, second.split) == ("train", "test")
    assert (second.sex, second.age, second.ap_pa) == ("Female", "081", "AP")
    assert first.labels["Pleural Effusion"] == first.labels["Lung Lesion"] == first.labels["Lung Opacity"] == "1.0"
    (tmp_path / "images/00000002_000.png").unlink()
    with pytest.raises(ConfigurationError, match="00000002_000"):
        list(nih(tmp_path, labels))


def test_nih_classes_that_say_nothing_of_a_finding_leave_it_unknown():
    labels = nih_labels("Hernia")
    assert {"Enlarged Cardiomediastinum", "Fracture", "Support Devices"}.isdisjoint(labels)
    assert set(labels.values()) == {"0.0"}
    assert nih_labels("Cardiomegaly")["Enlarged Cardiomediastinum"] == "1.0"
    with pytest.raises(ConfigurationError, match="Gout"):
        nih_labels("Gout|Effusion")


@pytest.mark.reference_data
@pytest.mark.parametrize("name", ["nih-cxr/valid.csv", "nih-cxr-lowres/train.csv"])
def test_nih_labels_are_those_of_the_reference_data(shared, name):
    with (shared / "data" / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        ours = nih_labels(row["NIH Finding Labels"])
        assert {finding: row[finding] for finding in ours if row[finding]} == {
            finding: value for finding, value in ours.items() if row[finding]
        }
