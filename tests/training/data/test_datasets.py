import pytest
import torch

from app.errors import ConfigurationError
from app.patchnet.findings import FINDING_NAMES
from training.data.datasets import FilmDataset, join, read_film, read_films


def write_csv(folder, header, *rows):
    path = folder / "films.csv"
    path.write_text("\n".join(",".join(row) for row in (header, *rows)) + "\n")
    return path


def test_columns_are_read_by_name_not_by_place(tmp_path):
    shuffled = [*reversed(FINDING_NAMES), "Path"]
    row = ["1.0" if name == "Edema" else "0.0" for name in reversed(FINDING_NAMES)]
    films = read_films(write_csv(tmp_path, shuffled, [*row, "a.png"]))
    assert films.labels[0, FINDING_NAMES.index("Edema")] == 1
    assert films.labels.sum() == 1
    assert films.paths == (tmp_path / "a.png",)


@pytest.mark.parametrize(("unknown", "expected"), [("zeros", 0.0), ("ones", 1.0)])
def test_unknown_and_uncertain_labels(tmp_path, unknown, expected):
    header = ["Path", *FINDING_NAMES]
    path = write_csv(tmp_path, header, ["a", "", "-1.0", "-1", *["1"] * 11])
    assert read_films(path).labels[0].isnan().tolist() == [True] * 3 + [False] * 11
    assert read_films(path, unknown).labels[0, :3].tolist() == [expected] * 3


def test_a_missing_column_and_a_strange_label_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match="Support Devices"):
        read_films(write_csv(tmp_path, ["Path", *FINDING_NAMES[:-1]]))
    with pytest.raises(ConfigurationError, match="maybe"):
        read_films(write_csv(tmp_path, ["Path", *FINDING_NAMES], ["a", *["maybe"] * 14]))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_films(tmp_path / "nothing.csv")


def test_films_in_memory_are_those_decoded_on_demand(small_data):
    films = read_films(small_data / "train.csv")
    kept, lazy = FilmDataset(films, 64, keep_in_memory=True), FilmDataset(films, 64)
    assert len(kept) == len(lazy) == 20
    for index in (0, 7, 19):
        torch.testing.assert_close(kept[index][0], lazy[index][0])
        torch.testing.assert_close(lazy[index][0].float() / 255, read_film(films.paths[index], 64), atol=0.002, rtol=0)


def test_sets_join_and_split(small_data):
    parts = [read_films(small_data / f"{name}.csv") for name in ("train", "valid")]
    both = join(parts)
    assert len(both) == 32
    assert both.columns["Collection"][:2] == ("A", "B")
    some = both.where([0, 31])
    assert some.paths == (parts[0].paths[0], parts[1].paths[-1])
    assert some.labels.shape == (2, 14)


@pytest.mark.reference_data
def test_no_patient_is_in_two_splits(shared):
    patients = [
        {path.parent.name for path in read_films(shared / f"data/nih-cxr/{split}.csv").paths}
        for split in ("train", "valid", "test")
    ]
    assert len(set.union(*patients)) == sum(map(len, patients))


@pytest.mark.reference_data
def test_real_films_are_read(shared):
    films = read_films(shared / "data/nih-cxr/valid.csv")
    assert len(films) == 270
    image, labels = FilmDataset(films, 512)[3]
    assert (image.shape, image.dtype, labels.shape) == ((1, 512, 512), torch.uint8, (14,))
    assert image.float().std() > 20


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("text.png", "missing.png"):
        films = read_films(write_csv(tmp_path, ["Path", *FINDING_NAMES], [name, *["1"] * 14]))
        with pytest.raises(ConfigurationError, match=name):
            FilmDataset(films, 32)[0]
