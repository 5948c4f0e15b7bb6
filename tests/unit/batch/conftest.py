"""A folder of films and a small model, for runs without a cluster."""

from pathlib import Path

import pytest

from app.batch.inputs import Input, list_inputs
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.factories import chest_dicom, film

SEGMENTER = Path(__file__).resolve().parent.parent.parent.parent / "models/chest-anatomy"


@pytest.fixture(scope="package")
def settings(tmp_path_factory) -> Settings:
    folder = tmp_path_factory.mktemp("models")
    points = ("validated", {"balanced": 0.001, "specific": 0.999})
    save_small_artifact(folder, "one", findings=records_with_points({"Edema": points, "Fracture": ("untrained", {})}))
    return Settings(
        models_dir=folder, device="cpu", engine="torch", decode_workers=1, model="one", segmenter=str(SEGMENTER)
    )


@pytest.fixture
def archive(tmp_path) -> Path:
    """Three radiographs, one of them with other pixels, and a text that is no radiograph."""
    folder = tmp_path / "archive"
    (folder / "2025").mkdir(parents=True)
    (folder / "a.dcm").write_bytes(chest_dicom())
    (folder / "2025" / "b.dcm").write_bytes(chest_dicom(film() // 2))
    (folder / "2025" / "c.dcm").write_bytes(chest_dicom())
    (folder / "notes.txt").write_text("no radiograph")
    return folder


def inputs(*sources: object) -> list[Input]:
    return list(list_inputs(map(str, sources)))
