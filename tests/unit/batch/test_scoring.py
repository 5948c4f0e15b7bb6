"""Films of an archive become rows, with the results of the service."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app import load
from app.batch.order import Order, prepare
from app.batch.plan import pending
from app.batch.results import ResultFolder
from app.batch.scoring import PartScorer
from app.errors import ConfigurationError, DeadlineExceeded, DecodeTimeout
from app.patchnet.findings import FINDING_NAMES
from tests.factories import SENTINEL
from tests.unit.batch.conftest import inputs


@pytest.fixture(scope="module")
def model(settings):
    with load(settings=settings) as loaded:
        yield loaded


@pytest.fixture
def scorer_of(settings, model, tmp_path):
    """Make a scorer that writes to ``out``; also returns that folder."""

    def make(*, identifiers: bool = False, zones: bool = False) -> tuple[PartScorer, ResultFolder]:
        folder = ResultFolder(str(tmp_path / "out"))
        job, about = prepare(Order([], folder.url, "balanced", identifiers, zones=zones), settings, folder.url)
        folder.open(about)
        return PartScorer(job, model), folder

    return make


def score(scorer, folder, *sources):
    (numbers,) = scorer(pending(inputs(*sources), folder.known())).to_pylist()
    return numbers


def test_each_film_has_a_row_with_the_result_of_the_service_or_a_reason(scorer_of, model, archive, tmp_path):
    scorer, folder = scorer_of(identifiers=True)
    assert score(scorer, folder, archive) == {"scored": 3, "refused": 1, "unchanged": 0, "left": []}
    rows = {Path(row["location"]).name: row for row in pq.read_table(tmp_path / "out").to_pylist()}
    assert sorted(rows) == ["a.dcm", "b.dcm", "c.dcm", "notes.txt"]
    assert rows["notes.txt"]["error"] == "unreadable_image"
    assert rows["notes.txt"]["probability_edema"] is None
    expected = model.predict(archive / "a.dcm", operating_point="balanced")
    row = rows["a.dcm"]
    assert (row["error"], row["model"], row["rows"], row["modality"]) == (None, "one", 113, "DX")
    assert row["sop_instance_uid"] == expected.body.image.sop_instance_uid
    assert row["sha256"] == rows["c.dcm"]["sha256"] != rows["b.dcm"]["sha256"]
    assert [warning["code"] for warning in row["warnings"]] == [warning.code for warning in expected.warnings]
    for index, name in enumerate(FINDING_NAMES):
        finding, scored = name.lower().replace(" ", "_"), expected.findings[index]
        assert row[f"probability_{finding}"] == pytest.approx(scored.probability, abs=1e-5)
        assert row[f"positive_{finding}"] == scored.positive
        assert row[f"operating_point_{finding}"] == scored.operating_point
        if scored.logit is not None:
            grid = np.reshape(row[f"patch_logits_{finding}"], (2, 2))
            np.testing.assert_allclose(grid, expected.evidence[index], atol=1e-5)
    assert row["positive_edema"] is True
    assert row["patch_logits_fracture"] is None


def test_zones_of_each_film_add_up_to_its_logits(scorer_of, model, archive, tmp_path):
    scorer, folder = scorer_of(zones=True)
    assert score(scorer, folder, archive / "a.dcm")["scored"] == 1
    (row,) = pq.read_table(tmp_path / "out").to_pylist()
    expected = model.predict(archive / "a.dcm", operating_point="balanced", zones=True)
    assert row["zones_trusted"] is expected.anatomy.is_trusted
    assert row["zones_reasons"] == [reason.code for reason in expected.anatomy.reasons]
    assert sum(row["zone_evidence_edema"]) == pytest.approx(expected["Edema"].logit, abs=1e-5)
    assert row["zone_evidence_edema"] == pytest.approx([zone.evidence for zone in expected.zones["Edema"].zones])
    shares = [zone.share_for for zone in expected.zones["Edema"].zones]
    assert row["zone_share_edema"] == (None if None in shares else pytest.approx(shares))
    assert row["zone_evidence_fracture"] is row["zone_share_fracture"] is None


def test_a_data_set_with_zones_gets_no_rows_without_them(scorer_of, archive):
    scorer_of(zones=True)
    with pytest.raises(ConfigurationError, match="segmenter_sha256, zones"):
        scorer_of()


def test_zones_without_a_segmenter_are_refused_before_the_run(settings, tmp_path):
    alone = settings.model_copy(update={"segmenter": "nowhere"})
    with pytest.raises(ConfigurationError, match="segmenter"):
        prepare(Order([], str(tmp_path), zones=True), alone, str(tmp_path))


def test_rows_identify_nobody_unless_asked(scorer_of, archive, tmp_path):
    (archive / SENTINEL).mkdir()
    (archive / "a.dcm").rename(archive / SENTINEL / "a.dcm")
    scorer, folder = scorer_of()
    score(scorer, folder, archive)
    table = pq.read_table(tmp_path / "out")
    assert not {"location", "sop_instance_uid", "study_instance_uid"} & set(table.schema.names)
    texts = str(table.to_pylist())
    assert SENTINEL not in texts
    assert "1.2.826" not in texts


def test_a_second_run_has_nothing_to_do_also_after_a_touch(scorer_of, archive, tmp_path):
    scorer, folder = scorer_of()
    score(scorer, folder, archive)
    assert pending(inputs(archive), folder.known()).num_rows == 0
    os.utime(archive / "a.dcm", (1, 1))
    assert score(scorer, folder, archive) == {"scored": 0, "refused": 0, "unchanged": 1, "left": []}
    assert folder.known().num_rows == 4


def test_a_repeated_attempt_at_a_part_changes_nothing(scorer_of, archive, tmp_path):
    scorer, folder = scorer_of()
    plan = pending(inputs(archive), folder.known())
    first = scorer(plan).to_pylist()
    (part,) = (tmp_path / "out").glob("*.parquet")
    written = part.read_bytes()
    assert scorer(plan).to_pylist() == first
    assert part.read_bytes() == written


def test_a_film_that_disappears_or_that_the_machine_fails_is_left_for_another_run(
    scorer_of, model, archive, monkeypatch
):
    scorer, folder = scorer_of()
    plan = pending(inputs(archive / "*.dcm", archive / "2025"), folder.known())
    (archive / "2025" / "b.dcm").unlink()

    def fail(data, **_):
        raise DeadlineExceeded("too late")

    monkeypatch.setattr(model, "predict", fail)
    (numbers,) = scorer(plan).to_pylist()
    assert {kind["code"]: kind["films"] for kind in numbers["left"]} == {"not_read": 1, "deadline_exceeded": 2}
    assert folder.known().num_rows == 0


def test_an_unexpected_error_is_the_reason_of_one_film(scorer_of, model, archive, tmp_path, monkeypatch):
    scorer, folder = scorer_of()
    predict, failures = model.predict, iter([DecodeTimeout("slow"), ZeroDivisionError(SENTINEL)])

    def sometimes(data, **options):
        if error := next(failures, None):
            raise error
        return predict(data, **options)

    monkeypatch.setattr(model, "predict", sometimes)
    assert score(scorer, folder, archive / "a.dcm")["scored"] == 1  # after two attempts that failed
    failures = iter([ZeroDivisionError(SENTINEL)] * 3)
    assert score(scorer, folder, archive / "2025" / "b.dcm")["refused"] == 1
    (reason,) = [row["error_detail"] for row in pq.read_table(tmp_path / "out").to_pylist() if row["error"]]
    assert reason == "the analysis ended with an unexpected error (ZeroDivisionError)"
