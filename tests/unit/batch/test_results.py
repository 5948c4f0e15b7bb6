"""The folder of results."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.batch.results import ResultFolder
from app.batch.rows import make_schema, table_of
from app.errors import ConfigurationError

SCHEMA = make_schema(4, identifiers=False)
ABOUT = {"model": "one", "weights_sha256": "0" * 64}


def rows(*errors: str | None) -> pa.Table:
    return table_of(
        [{"input_hash": str(number), "size": 1, "error": error} for number, error in enumerate(errors)], SCHEMA
    )


@pytest.fixture(params=["disk", "store"])
def folder(request, tmp_path) -> ResultFolder:
    url = str(tmp_path / "out") if request.param == "disk" else f"memory://{tmp_path}/out"
    folder = ResultFolder(url)
    folder.open(ABOUT)
    return folder


def test_what_is_written_is_known(folder):
    assert folder.known().num_rows == 0
    folder.write("part-1.parquet", rows(None, "no_pixels"))
    assert folder.known().column("input_hash").to_pylist() == ["0", "1"]
    assert folder.outcome_of("part-1.parquet") == (1, 1)
    assert folder.outcome_of("part-2.parquet") is None


def test_a_repeated_part_replaces_the_first(folder):
    for _ in range(2):
        folder.write("part-1.parquet", rows(None))
    assert folder.known().num_rows == 1


def test_results_of_another_model_are_not_mixed(folder):
    folder.open(ABOUT)
    with pytest.raises(ConfigurationError, match="weights_sha256"):
        folder.open({**ABOUT, "weights_sha256": "1" * 64})


def test_a_folder_with_other_data_is_left_alone(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ConfigurationError, match="something else"):
        ResultFolder(str(tmp_path)).open(ABOUT)


def test_a_damaged_part_is_named(folder):
    folder._write("part-1.parquet", b"PAR1")
    with pytest.raises(ConfigurationError, match=r"part-1\.parquet"):
        folder.known()


def test_a_folder_on_a_disk_is_a_data_set(tmp_path):
    folder = ResultFolder(str(tmp_path))
    folder.open(ABOUT)
    folder.write("part-1.parquet", rows(None, "no_pixels"))
    assert pq.read_table(tmp_path).schema.names == SCHEMA.names
