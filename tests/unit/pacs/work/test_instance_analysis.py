"""A kind of object that cannot be created does not affect the others, and its reason contains no patient data."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from app.errors import DeadlineExceeded, InferenceFailed, InvalidQuery, NoSourceObject, QueueFull
from app.imaging.radiograph import DecodeLimits
from app.pacs.store.inbox import Order
from app.pacs.values import FailedOutput, Problem
from app.pacs.work.instance_analysis import InstanceAnalyzer
from app.telemetry import Metrics
from tests.factories import chest_dicom

ORDER = Order("pacs", ("sr", "sc", "gsps"))
FACTS = SimpleNamespace(study_instance_uid="1.2", sop_instance_uid="1.2.3")
PREDICTION = SimpleNamespace(radiograph=SimpleNamespace(facts=FACTS))
MODEL = SimpleNamespace(manifest=SimpleNamespace(name="chest"))


class Reporter:
    """Creates one object of each kind, or raises the error of that kind."""

    def __init__(self, **errors):
        self._errors = errors

    async def report(self, film, kind, finding=None, analysed_at=None):
        if kind in self._errors:
            raise self._errors[kind]
        return [chest_dicom(SOPInstanceUID=f"1.2.{len(kind)}")]


class Predictor:
    async def predict(self, *arguments):
        return PREDICTION, None


def analyse(reporter):
    models = SimpleNamespace(get=lambda name: MODEL)
    limits = DecodeLimits(pixels=10_000_000, inflated_bytes=10_000_000)
    analyzer = InstanceAnalyzer(models, Predictor(), None, reporter, Metrics(), (), limits, 60.0)
    return asyncio.run(analyzer.analyse(b"image", ORDER, datetime(2026, 1, 2, tzinfo=UTC)))


def test_a_kind_that_a_library_cannot_create_leaves_the_others(capsys):
    made = analyse(Reporter(sr=ValueError("DOE^JANE is not a person name")))
    assert [item.sop_instance_uid for item in made.results] == ["1.2.2", "1.2.4"]
    detail = "cannot be created from this image (ValueError)"
    assert made.failed == (FailedOutput("sr", Problem("object_not_created", detail, permanent=True)),)
    assert "DOE" not in "".join(capsys.readouterr())


def test_a_domain_error_of_one_kind_keeps_its_code_and_reason():
    made = analyse(Reporter(gsps=InvalidQuery("no usable window")))
    assert len(made.results) == 2
    assert made.failed == (FailedOutput("gsps", Problem("invalid_query", "no usable window", permanent=True)),)


@pytest.mark.parametrize(
    "error",
    [QueueFull("full"), DeadlineExceeded("late"), InferenceFailed("lost"), NoSourceObject("no UID"), MemoryError()],
)
def test_an_error_that_is_not_about_one_kind_ends_the_analysis(error):
    with pytest.raises(type(error)):
        analyse(Reporter(sc=error))
