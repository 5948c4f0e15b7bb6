"""The inputs of a run."""

import os

import fsspec
import pytest

from app.batch.inputs import list_inputs, read_input
from app.errors import ConfigurationError
from tests.unit.batch.conftest import inputs


def names(found):
    return sorted(item.location.rpartition("/")[2] for item in found)


def test_a_folder_is_all_files_below_it(archive):
    assert names(inputs(archive)) == ["a.dcm", "b.dcm", "c.dcm", "notes.txt"]


def test_a_pattern_is_the_files_that_match(archive):
    assert names(inputs(archive / "**/*.dcm")) == ["a.dcm", "b.dcm", "c.dcm"]


def test_sources_that_overlap_give_each_file_once(archive):
    assert names(inputs(archive / "2025", archive, archive / "a.dcm")) == ["a.dcm", "b.dcm", "c.dcm", "notes.txt"]


def test_what_is_no_film_of_an_archive_is_left_out(archive):
    (archive / ".cache").mkdir()
    for name in (".cache/x.dcm", ".hidden", "DICOMDIR"):
        (archive / name).write_bytes(b"x")
    (archive / "loop").symlink_to(archive)
    (archive / "link.dcm").symlink_to(archive / "a.dcm")
    assert names(inputs(archive)) == ["a.dcm", "b.dcm", "c.dcm", "link.dcm", "notes.txt"]


def test_an_object_store_is_listed_and_read_by_url():
    store = fsspec.filesystem("memory")
    store.pipe_file("/bucket/films/a.dcm", b"first")
    (found,) = inputs("memory://bucket/films")
    assert found.location == "memory:///bucket/films/a.dcm"
    assert (found.size, read_input(found.location, 100)) == (5, b"first")
    assert read_input(found.location, 3) == b"firs"


def test_the_version_changes_with_the_content(archive):
    (before,) = inputs(archive / "a.dcm")
    os.utime(archive / "a.dcm", (1, 1))
    (after,) = inputs(archive / "a.dcm")
    assert before.hash == after.hash
    assert before.version != after.version


@pytest.mark.parametrize("source", ["/nowhere/at/all", "/nowhere/*.dcm", "nosuchprotocol://x/y"])
def test_a_source_that_cannot_be_listed_is_named(source):
    with pytest.raises(ConfigurationError, match=r"nowhere|nosuchprotocol"):
        list(list_inputs([source]))
