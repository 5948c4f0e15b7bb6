"""From the bytes of an instance to the objects for its study."""

from dataclasses import dataclass, replace
from io import BytesIO
from time import monotonic

from pydicom import dcmread
from pydicom.dataset import Dataset

from app.dicom_objects.source_image import read_source
from app.errors import ImageError, NoSourceObject, UnreadableImage
from app.imaging.dicom_file import silence
from app.imaging.radiograph import DecodeLimits
from app.pacs.configuration import Rule
from app.pacs.routing import decide, facts_of
from app.pacs.store.inbox import Order
from app.pacs.values import Result
from app.service.models import ModelRegistry
from app.service.predict import Predictor
from app.service.report import Reporter
from app.telemetry import Metrics, Stopwatch, span


@dataclass(frozen=True)
class Analysed:
    """The results of an instance; ``order`` names the model that was used. Repetition gives the same bytes."""

    order: Order
    study_uid: str
    sop_instance_uid: str | None
    results: tuple[Result, ...]


class InstanceAnalyzer:
    """Routes and analyses instances. Stateless between instances."""

    def __init__(
        self,
        models: ModelRegistry,
        predictor: Predictor,
        reporter: Reporter,
        metrics: Metrics,
        routes: tuple[Rule, ...],
        limits: DecodeLimits,
        timeout_s: float,
    ) -> None:
        self._models = models
        self._predictor = predictor
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

    async def analyse(self, content: bytes, order: Order) -> Analysed:
        """Create the objects of an order.

        Raises the domain errors of decoding, inference and reporting, and UnknownModel.
        """
        with span("instance"):
            return await self._analyse(content, order)

    async def _analyse(self, content: bytes, order: Order) -> Analysed:
        model = self._models.get(order.model)
        watch = Stopwatch(self._metrics)
        prediction, _ = await self._predictor.predict(content, model, monotonic() + self._timeout_s, watch)
        facts = prediction.radiograph.facts
        if facts.study_instance_uid is None:
            raise NoSourceObject("the image has no Study Instance UID, to which results could be added")
        results: list[Result] = []
        with watch.stage("render"):
            for kind in order.outputs:
                files = await self._reporter.report(content, prediction, kind)
                results += [_result(facts.study_instance_uid, file) for file in files]
        named = replace(order, model=model.manifest.name)
        return Analysed(named, facts.study_instance_uid, facts.sop_instance_uid, tuple(results))


def _result(study_uid: str, file: bytes) -> Result:
    with silence():
        made = dcmread(BytesIO(file), specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
    return Result(study_uid, made.SOPClassUID, made.SOPInstanceUID, file)
