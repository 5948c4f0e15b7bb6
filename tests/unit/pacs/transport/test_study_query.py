"""QIDO-RS: radiographs are found in complete and incomplete responses, and unusable rows are reported."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NodeRefused, StudyNotFound
from app.pacs.transport.protocols import is_uid
from app.pacs.transport.study_query import StudyQuery
from app.pacs.values import FoundInstance, FoundStudy
from tests.unit.pacs.transport.dicomweb_server import DX, answer, attributes, run


def find(archive):
    return run(archive, lambda client: client.find_instances("1.2"))


def list_series(archive, *series, instances=()):
    """A study with these series; the first has these instances."""
    archive.answers["GET", "studies/1.2/series"] = answer(list(series))
    archive.answers["GET", "studies/1.2/series/1.2.1/instances"] = answer(list(instances))


def dx(uid, **more):
    return attributes(t00080016=DX, t00080018=uid, **more)


SERIES = attributes(t0020000E="1.2.1", t00080060="DX")


def test_radiographs_are_found_by_modality_body_part_and_class(archive):
    series = [
        attributes(t0020000E="1.2.1", t00080060="DX", t00180015="CHEST"),
        attributes(t0020000E="1.2.2", t00080060="DX", t00180015="HAND"),
        attributes(t0020000E="1.2.3", t00080060="SR"),
        attributes(t0020000E="1.2.4", t00080060="CR"),
    ]
    archive.answers["GET", "studies/1.2/series"] = answer(series)
    for number, sop_class in (("1", DX), ("4", "1.2.840.10008.5.1.4.1.1.7")):
        instance = attributes(t00080016=sop_class, t00080018=f"1.2.{number}.1")
        archive.answers["GET", f"studies/1.2/series/1.2.{number}/instances"] = answer([instance])
    found = run(archive, lambda client: client.find_instances("1.2"))
    assert found == FoundStudy((FoundInstance("1.2", "1.2.1", DX, "1.2.1.1"),))


def test_the_words_of_a_site_for_the_chest_count_too(archive):
    list_series(archive, attributes(t0020000E="1.2.1", t00080060="DX", t00180015="Cwt"), instances=[dx("1.2.1.1")])
    assert find(archive).instances == ()
    found = run(archive, lambda client: client.find_instances("1.2"), chest_body_parts=("CWT",))
    assert [item.sop_instance_uid for item in found.instances] == ["1.2.1.1"]


@pytest.mark.parametrize("uid", ["../../admin", "1.2/..", "", "1.2?x=1", "1" * 65])
def test_a_response_cannot_redirect_a_request(archive, uid):
    list_series(archive, attributes(t0020000E=uid, t00080060="DX"))
    assert find(archive).instances == ()
    assert len(archive.asked) == 1


@pytest.mark.parametrize("bad", [dx("1.2/.."), dx(""), {}, 5, attributes(t00080016=DX)])
def test_an_instance_with_an_unusable_uid_is_skipped_and_reported(archive, bad):
    list_series(archive, SERIES, instances=[bad, dx("1.2.1.1")])
    found = find(archive)
    assert [item.sop_instance_uid for item in found.instances] == ["1.2.1.1"]
    assert found.skipped.code == "invalid_query_response"
    assert "an instance without a valid SOP Instance UID (1)" in found.skipped.detail


@pytest.mark.parametrize("bad", [attributes(t0020000E="../x", t00080060="DX"), attributes(t00080060="DX"), 5])
def test_a_series_with_an_unusable_uid_is_skipped_and_reported(archive, bad):
    list_series(archive, bad, SERIES, instances=[dx("1.2.1.1")])
    found = find(archive)
    assert [item.sop_instance_uid for item in found.instances] == ["1.2.1.1"]
    assert "a series without a valid Series Instance UID (1)" in found.skipped.detail


def test_a_series_that_the_node_does_not_list_is_skipped_and_reported(archive):
    list_series(archive, attributes(t0020000E="1.2.9", t00080060="CR"), SERIES, instances=[dx("1.2.1.1")])
    archive.answers["GET", "studies/1.2/series/1.2.9/instances"] = (400, "text/plain", b"")
    found = find(archive)
    assert [item.sop_instance_uid for item in found.instances] == ["1.2.1.1"]
    assert "a series whose instances the node does not list (1)" in found.skipped.detail


@pytest.mark.parametrize("series", [attributes(t0020000E="1.2.1"), {**SERIES, "00080060": {"vr": "CS"}}])
def test_without_modality_the_sop_class_of_the_instances_decides(archive, series):
    list_series(
        archive, series, instances=[attributes(t00080016="1.2.840.10008.5.1.4.1.1.2", t00080018="1.5"), dx("1.6")]
    )
    found = find(archive)
    assert [item.sop_instance_uid for item in found.instances] == ["1.6"]
    assert found.skipped is None


def test_without_sop_class_the_metadata_decides(archive):
    uids = ("1.5", "1.6", "1.7")
    list_series(archive, SERIES, instances=[attributes(t00080018=uid) for uid in uids])
    for uid, sop_class in (("1.5", DX), ("1.6", "1.2.840.10008.5.1.4.1.1.2")):
        archive.answers["GET", f"studies/1.2/series/1.2.1/instances/{uid}/metadata"] = answer(
            [attributes(t00080016=sop_class)]
        )
    found = find(archive)
    assert [item.sop_instance_uid for item in found.instances] == ["1.5"]
    assert "an instance without SOP Class UID (1)" in found.skipped.detail


def test_a_repeated_row_is_one_instance(archive):
    list_series(archive, SERIES, instances=[dx("1.6"), dx("1.6")])
    assert len(find(archive).instances) == 1


@pytest.mark.parametrize(
    "reply", [(200, "application/dicom+json", b"[]"), (204, "text/plain", b""), (404, "text/plain", b"")]
)
def test_an_unknown_study_is_not_found(archive, reply):
    archive.answers["GET", "studies/1.2/series"] = reply
    with pytest.raises(StudyNotFound):
        find(archive)


def test_a_wrong_root_url_is_not_taken_for_an_unknown_study(archive):
    archive.default = (404, "text/plain", b"")
    with pytest.raises(NodeRefused, match="check its 'url'"):
        find(archive)


TAGS = st.sampled_from(["00080060", "00180015", "0020000E", "00080016", "00080018", "Value", "vr"])
TEXTS = st.sampled_from(["CR", "SR", "CHEST", "1.2.1", "1..2", "../x", DX, "", "\0"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=3),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(TAGS, parts, max_size=4),
    max_leaves=20,
)


class Session:
    """Returns the same rows for every query."""

    def __init__(self, rows):
        self._rows = rows

    async def query(self, path, params=None):
        return self._rows


@given(st.lists(JSON, max_size=4))
def test_whatever_the_other_rows_contain_a_usable_row_is_found(rows):
    usable = {**dx("1.2.3"), **SERIES}
    found = asyncio.run(StudyQuery(Session([*rows, usable]), "1.2").run())
    assert FoundInstance("1.2", "1.2.1", DX, "1.2.3") in found.instances
    assert all(is_uid(item.sop_instance_uid) for item in found.instances)
