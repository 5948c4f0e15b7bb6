"""A site's own radiographs: a CSV, or DICOM files with labels by path, by UID, or mined from reports."""

import csv

import pytest

from app.errors import ConfigurationError
from app.patchnet.findings import FINDING_NAMES
from tests.factories import chest_dicom
from training.data.local import dicom, read_local

EDEMA = FINDING_NAMES.index("Edema")


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def folder(tmp_path):
    films = tmp_path / "films" / "deep"
    films.mkdir(parents=True)
    for number in (1, 2):
        about = {"StudyInstanceUID": f"1.2.{number}", "AccessionNumber": f"A{number}", "PatientSex": "F"}
        (films / f"{number}.dcm").write_bytes(chest_dicom(PatientID=f"P{number}", PatientAge="064Y", **about))
    (films / "notes.txt").write_text("not a film")
    return tmp_path / "films"


def test_a_csv_can_have_some_findings_only_under_any_of_their_names(tmp_path):
    films = read_local(write(tmp_path / "x.csv", [{"Path": "a.png", "Effusion": "1", "edema": "-1", "Ward": "ICU"}]))
    assert films.paths == (tmp_path / "a.png",)
    assert films.labels[0, FINDING_NAMES.index("Pleural Effusion")] == 1
    assert films.labels[0].isnan().sum() == 13
    assert films.columns["Ward"] == ("ICU",)


@pytest.mark.parametrize(
    ("key", "value"), [("Path", "deep/2.dcm"), ("StudyInstanceUID", "1.2.2"), ("AccessionNumber", "A2")]
)
def test_labels_find_their_dicom_files(folder, tmp_path, key, value):
    films = read_local(folder, write(tmp_path / "labels.csv", [{key: value, "Edema": "1.0"}]))
    assert films.paths == (folder / "deep" / "2.dcm",)
    assert films.labels[0, EDEMA] == 1
    assert (films.patients, films.columns["Age"], films.columns["Sex"]) == (("P2",), ("64",), ("Female",))


def test_what_the_labeler_does_not_mention_is_absent_and_what_it_doubts_unknown(folder, tmp_path):
    row = {"Reports": "mild edema", "AccessionNumber": "A1", "Edema": "1.0", "Pneumonia": "", "Fracture": "-1.0"}
    labels = read_local(folder, write(tmp_path / "labeled.csv", [row])).labels[0]
    assert labels[EDEMA] == 1
    assert labels[FINDING_NAMES.index("Pneumonia")] == 0
    assert labels[FINDING_NAMES.index("Fracture")].isnan()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"Path": "a", "Edema": "1"}, {"Path": "a", "Edema": "0"}], "two rows for a"),
        ([{"Path": "a", "Ward": "1"}], "no column of a finding"),
        ([{"File": "a", "Edema": "1"}], "no column Path"),
        ([{"Path": "a", "Edema": "yes"}], "label other than"),
    ],
)
def test_a_csv_that_cannot_be_used_is_explained(tmp_path, rows, message):
    with pytest.raises(ConfigurationError, match=message):
        read_local(write(tmp_path / "x.csv", rows))


def test_a_folder_needs_labels_that_fit(folder, tmp_path):
    with pytest.raises(ConfigurationError, match="--labels"):
        read_local(folder)
    with pytest.raises(ConfigurationError, match="none of the columns Path, SOPInstanceUID"):
        read_local(folder, write(tmp_path / "a.csv", [{"Number": "1", "Edema": "1"}]))
    with pytest.raises(ConfigurationError, match="no DICOM file"):
        read_local(folder, write(tmp_path / "b.csv", [{"AccessionNumber": "A9", "Edema": "1"}]))


def test_dicom_films_without_labels_are_found_at_any_depth(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/b/1.dcm", "2.dcm", "note.txt"):
        (tmp_path / name).touch()
    assert [(film.target, film.labels) for film in dicom(tmp_path, None)] == [("2", {}), ("a/b/1", {})]


def test_an_export_for_training_has_the_patients_of_its_headers(folder, tmp_path):
    rows = [{"AccessionNumber": "A1", "Edema": "1"}, {"AccessionNumber": "A9", "Edema": "0"}]
    (film,) = dicom(folder, write(tmp_path / "labels.csv", rows))
    assert (film.split, film.target, film.patient, film.age) == ("films", "deep/1", "P1", "64")
    assert (film.frontal_lateral, film.ap_pa, film.labels["Edema"], film.labels["Fracture"]) == (
        "Frontal", "PA", "1.0", "",
    )  # fmt: skip


def test_files_that_are_named_by_uids_stay_apart(folder, tmp_path):
    for number in (1, 2):
        (folder / "deep" / f"{number}.dcm").rename(folder / "deep" / f"1.2.840.{number}")
    rows = [{"AccessionNumber": f"A{number}", "Edema": "1"} for number in (1, 2)]
    films = dicom(folder, write(tmp_path / "labels.csv", rows))
    assert [film.target for film in films] == ["deep/1.2.840.1", "deep/1.2.840.2"]
