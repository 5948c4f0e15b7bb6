"""From the bytes of an instance to the objects for its study."""

from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from time import monotonic

from pydicom import dcmread
from pydicom.dataset import Dataset

from app.dicom_objects.content import ReportKind
from app.dicom_objects.source_image import read_source
from app.errors import (
    CapacityError,
    DeadlineExceeded,
    ImageError,
    InferenceFailed,
    MedPatchNetError,
    NoSourceObject,
    ObjectNotCreated,
    UnreadableImage,
)
from app.imaging.dicom.file import silence
from app.imaging.radiograph import DecodeLimits
from app.pacs.configuration import Rule
from app.pacs.routing import decide, facts_of
from app.pacs.store.inbox import Order
from app.pacs.values import FailedOutput, Problem, Result
from app.service.anatomy.reader import AnatomyReader, PendingAnatomy
from app.service.models import ModelRegistry
from app.service.predict import Predictor
from app.service.report import AnalysedFilm, Reporter
from app.telemetry import Metrics, Stopwatch, error_places, get_logger, span

_NOT_ABOUT_ONE_KIND = (CapacityError, DeadlineExceeded, InferenceFailed, NoSourceObject, MemoryError)
"""Errors that end the analysis of an instance; all but NoSourceObject can be gone at another attempt."""


@dataclass(frozen=True)
class Analysed:
    """The results of an instance; ``order`` names the model that was used. Repetition gives the same bytes.

    ``failed`` are the kinds of the order that cannot be created from this instance.
    """

    order: Order
    study_uid: str
    sop_instance_uid: str | None
    results: tuple[Result, ...]
    failed: tuple[FailedOutput, ...] = ()


class InstanceAnalyzer:
    """Routes and analyses instances. Stateless between instances."""

    def __init__(
        self,
        models: ModelRegistry,
        predictor: Predictor,
        anatomy: AnatomyReader,
        reporter: Reporter,
        metrics: Metrics,
        routes: tuple[Rule, ...],
        limits: DecodeLimits,
        timeout_s: float,
    ) -> None:
        self._models = models
        self._predictor = predictor
        self._anatomy = anatomy
        self._reporter = reporter
        self._metrics = metrics
        self._routes = routes
        self._limits = limits
        self._timeout_s = timeout_s

    def decide(self, content: bytes, source: str) -> Order | None:
        """The order of the routing rules; None if no rule matches. Raises ImageError for an unreadable instance."""
        decision = decide(self._routes, facts_of(self._header(content), source))
        if decision is None:
            return None
        return Order(decision.target, decision.outputs, decision.model, decision.rule)

    def _header(self, content: bytes) -> Dataset:
        try:
            return read_source(content, self._limits)
        except ImageError:
            raise
        except Exception:  # noqa: BLE001 - any exception of pydicom on damaged bytes; its message can quote them
            raise UnreadableImage("the DICOM object cannot be read") from None

    async def analyse(self, content: bytes, order: Order, analysed_at: datetime) -> Analysed:
        """Create the objects of an order, with ``analysed_at`` as the time of their analysis.

        A kind that cannot be created does not affect the others.

        Raises UnknownModel, the domain errors of decoding and inference, and NoSourceObject for an image that results
        cannot refer to.
        """
        with span("instance"):
            return await self._analyse(content, order, analysed_at)

    async def _analyse(self, content: bytes, order: Order, analysed_at: datetime) -> Analysed:
        model = self._models.get(order.model)
        watch, deadline = Stopwatch(self._metrics), monotonic() + self._timeout_s
        prediction, image = await self._predictor.predict(content, model, deadline, watch)
        facts = prediction.radiograph.facts
        if facts.study_instance_uid is None:
            raise NoSourceObject("the image has no Study Instance UID, to which results could be added")
        film = AnalysedFilm(content, prediction, PendingAnatomy(self._anatomy, image, deadline, watch))
        results: list[Result] = []
        failed: list[FailedOutput] = []
        with watch.stage("render"):
            for kind in order.outputs:
                made = await self._create(film, kind, facts.study_instance_uid, analysed_at)
                if isinstance(made, Problem):
                    failed.append(FailedOutput(kind, made))
                else:
                    results += made
        named = replace(order, model=model.manifest.name)
        return Analysed(named, facts.study_instance_uid, facts.sop_instance_uid, tuple(results), tuple(failed))

    async def _create(
        self, film: AnalysedFilm, kind: ReportKind, study_uid: str, analysed_at: datetime
    ) -> list[Result] | Problem:
        """The objects of one kind, or the permanent problem why there are none."""
        try:
            files = await self._reporter.report(film, kind, analysed_at=analysed_at)
            return [_result(study_uid, file) for file in files]
        except _NOT_ABOUT_ONE_KIND:
            raise
        except MedPatchNetError as error:
            return Problem(error.code, error.detail, permanent=True)
        except Exception as error:  # noqa: BLE001 - any exception of a library; its message can quote the image
            get_logger().error("unexpected_error", error=type(error).__name__, at=error_places(error))
            detail = f"cannot be created from this image ({type(error).__name__})"
            return Problem(ObjectNotCreated.code, detail, permanent=True)


def _result(study_uid: str, file: bytes) -> Result:
    with silence():
        made = dcmread(BytesIO(file), specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
    return Result(study_uid, made.SOPClassUID, made.SOPInstanceUID, file)
