"""Predictions and explanations in Python, without a server.

::

    from app import load

    with load("chest-lite0") as model:
        result = model.predict("radiograph.dcm")
        print(result["Pleural Effusion"].probability, result.positives)
        explanation = model.explain("radiograph.dcm", "Pleural Effusion")
        explanation.overlay().save("overlay.png")

The same use cases as behind the HTTP interface, so results are equal to its responses. A model can be used from
several threads at once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from app.api.explanations import map_request, overlay_png, require_cell
from app.api.queries import CompareQuery, ExplainQuery, ImageQuery
from app.api.schemas.compare import CompareBody, ComparedFinding
from app.api.schemas.explain import ExplainBody
from app.api.schemas.predict import PredictBody
from app.dicom_objects.content import ReportKind
from app.errors import BodyTooLarge, EmptyBody, InvalidQuery, MalformedRequest
from app.imaging.radiograph import ImageWarning
from app.patchnet.findings import FINDING_NAMES, finding_index, finding_indices
from app.patchnet.preprocessing import ModelImage
from app.patchnet.saliency import patch_grid
from app.runtime.application import open_services
from app.service.admission import Admission, Lifecycle
from app.service.anatomy.ledger import ZoneLedger
from app.service.anatomy.reader import Anatomy, PendingAnatomy
from app.service.anatomy.sums import sums_of
from app.service.comparison.comparer import CompareRequest
from app.service.comparison.results import Pair
from app.service.explain import OnProgress
from app.service.objects import make_objects
from app.service.report import AnalysedFilm
from app.service.results import Explanations, Prediction, Score
from app.service.services import Services
from app.settings import Settings
from app.telemetry import Metrics, request_id_from
from app.validation import describe

Floats = NDArray[np.float32]
ImageSource = str | Path | bytes
"""A file, or the bytes of one: DICOM, PNG or JPEG."""

T = TypeVar("T")
Q = TypeVar("Q", bound=ImageQuery)
_MAX_CALLS = 1024  # concurrent calls; the threads of the caller are the practical limit


@dataclass(frozen=True)
class PredictedImage:
    """The prediction for one image.

    ``findings``: the 14 decisions in label order. ``evidence`` [C, P, P] float32: the patch logits, in label order;
    the mean of a grid is the logit of its finding. ``zones``: the decisions of trained findings as sums over zones, by
    name, and ``anatomy`` what found them; only if they were requested.
    """

    findings: tuple[Score, ...]
    evidence: Floats
    warnings: tuple[ImageWarning, ...]
    body: PredictBody = field(repr=False)
    zones: Mapping[str, ZoneLedger] = field(default_factory=dict[str, ZoneLedger], repr=False)
    anatomy: Anatomy | None = field(default=None, repr=False)

    def __getitem__(self, finding: str) -> Score:
        """The decision about a finding, by name or alias. Raises UnknownFinding."""
        return self.findings[finding_index(finding)]

    @property
    def positives(self) -> tuple[str, ...]:
        """Names of the positive findings, in label order."""
        return tuple(score.name for score in self.findings if score.positive)

    def json(self) -> str:
        """The body of ``POST /predict``."""
        return self.body.model_dump_json()


@dataclass(frozen=True)
class ExplainedFinding:
    """The evidence for one finding of one image; arrays are None for an untrained finding.

    ``grid`` [P, P]: raw or scaled patch logits. ``saliency_map`` [S, S]: the shift-averaged map, if an offset or a
    stride was given. ``grid_mean``: mean of the raw grid, which equals ``score.logit``.
    """

    score: Score
    grid: Floats | None
    saliency_map: Floats | None
    grid_mean: float | None
    warnings: tuple[ImageWarning, ...]
    result: Explanations = field(repr=False)
    query: ExplainQuery = field(repr=False)
    body: ExplainBody = field(repr=False)
    opacity: float = field(repr=False)

    def overlay(self) -> Image.Image:
        """The evidence over the radiograph, in its geometry. Raises UntrainedFinding."""
        return Image.open(BytesIO(self.png()))

    def png(self) -> bytes:
        """The overlay as in the response of ``POST /explain?format=png``. Raises UntrainedFinding."""
        return overlay_png(self.result, self.query, self.opacity)

    def json(self) -> str:
        """The body of ``POST /explain``."""
        return self.body.model_dump_json()


@dataclass(frozen=True)
class ComparedImages:
    """What changed between two images, for the requested findings; changes are current minus prior.

    ``zones_compared``: whether the evidence of the zones is compared; ``body.zones`` states why not.
    """

    findings: tuple[ComparedFinding, ...]
    zones_compared: bool
    warnings: tuple[ImageWarning, ...]
    body: CompareBody = field(repr=False)

    def __getitem__(self, finding: str) -> ComparedFinding:
        """The change of a finding, by name or alias. Raises UnknownFinding, and KeyError if it was not requested."""
        name = FINDING_NAMES[finding_index(finding)]
        return {item.name: item for item in self.findings}[name]

    def json(self) -> str:
        """The body of ``POST /compare``."""
        return self.body.model_dump_json()


class LoadedModel:
    """A model that is ready to predict. Close it, or use it as a context manager: it holds threads and processes."""

    def __init__(self, settings: Settings) -> None:
        """Raises ArtifactError and ConfigurationError."""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="medpatchnet", daemon=True)
        self._stack = AsyncExitStack()
        self._thread.start()
        try:
            metrics = Metrics()
            services = open_services(settings, metrics, Lifecycle(_MAX_CALLS, metrics))
            self._services: Services = self._run(self._stack.enter_async_context(services))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish running calls and stop all threads and processes. Can be called twice."""
        if self._thread.is_alive():
            self._run(self._stack.aclose())
            self._stop()

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._services.models.get().manifest.name

    def predict(self, image: ImageSource, *, operating_point: str | None = None, zones: bool = False) -> PredictedImage:
        """Score the 14 findings on an image; with ``zones``, also sum their evidence over zones of the body.

        Raises the domain errors of ``app.errors``.
        """
        data = self._read(image)

        async def work(services: Services, admission: Admission) -> PredictedImage:
            prediction, image = await _predict(services, data, operating_point, admission)
            anatomy, sums = None, dict[int, ZoneLedger]()
            if zones:
                anatomy = await PendingAnatomy(services.anatomy, image, admission.deadline, admission.watch).get()
                sums = sums_of(prediction, anatomy, range(len(prediction.scores)))
            by_name = {prediction.scores[column].name: item for column, item in sums.items()}
            body = PredictBody.of(request_id_from(None), prediction, admission.watch, with_grids=False)
            grids = patch_grid(prediction.patch_logits[None])[0].numpy()
            return PredictedImage(prediction.scores, grids, prediction.warnings, body, by_name, anatomy)

        return self._admitted(work, self._services.settings.request_timeout_s)

    def explain(
        self, image: ImageSource, finding: str, *, on_progress: OnProgress | None = None, **options: object
    ) -> ExplainedFinding:
        """The evidence for a finding. ``options`` are the parameters of ``POST /explain``.

        For example ``map="scaled"``, ``offset=16``, ``stride=5``, ``operating_point="sensitive"``, ``legend=True``.
        With ``all`` as the finding, arrays are those of the first finding and ``json()`` has all of them. Raises the
        domain errors of ``app.errors``.
        """
        data, query = self._read(image), _query(ExplainQuery, {"class": [finding], **options})

        async def work(services: Services, admission: Admission) -> ExplainedFinding:
            model = services.models.get().at(query.operating_point)
            asked = map_request(query, query.format or "json")
            require_cell(query, model)
            result = await services.explainer.explain(
                data, model, asked, admission.deadline, admission.watch, on_progress
            )
            body = ExplainBody.of(request_id_from(None), result, admission.watch, query.cell)
            item, opacity = result.items[0], services.settings.overlay_opacity
            grid = None if item.grid is None else item.grid.numpy()
            smooth = None if item.saliency_map is None else item.saliency_map.numpy()
            warnings = result.prediction.warnings
            return ExplainedFinding(item.score, grid, smooth, item.grid_mean, warnings, result, query, body, opacity)

        return self._admitted(work, self._services.settings.map_timeout_s)

    def compare(self, current: ImageSource, prior: ImageSource, **options: object) -> ComparedImages:
        """What changed between a prior image of a patient and the current one.

        ``options`` are the parameters of ``POST /compare``, with ``findings=["Edema"]`` for its ``class``. Raises the
        domain errors of ``app.errors``.
        """
        files = Pair(self._read(current), self._read(prior))
        query = _query(
            CompareQuery, {"class" if name == "findings" else name: given for name, given in options.items()}
        )
        asked = CompareRequest(tuple(finding_indices(query.finding)), query.map)

        async def work(services: Services, admission: Admission) -> ComparedImages:
            model = services.models.get().at(query.operating_point)
            comparison = await services.comparer.compare(files, model, asked, admission.deadline, admission.watch)
            body = CompareBody.of(request_id_from(None), comparison, admission.watch)
            return ComparedImages(tuple(body.findings), body.zones.compared, comparison.warnings, body)

        return self._admitted(work, self._services.settings.request_timeout_s)

    def report(
        self,
        image: ImageSource,
        kinds: Sequence[ReportKind] = ("sr",),
        *,
        finding: str | None = None,
        operating_point: str | None = None,
        zones: bool = False,
    ) -> tuple[bytes, ...]:
        """The result as DICOM files in the study of the image, as in the response of ``POST /report``."""
        data, column = self._read(image), None if finding is None else finding_index(finding)

        async def work(services: Services, admission: Admission) -> tuple[bytes, ...]:
            prediction, image = await _predict(services, data, operating_point, admission)
            anatomy = PendingAnatomy(services.anatomy, image, admission.deadline, admission.watch)
            film = AnalysedFilm(data, prediction, anatomy)
            return (await make_objects(services.reporter, film, kinds, column, zones=zones)).files

        return self._admitted(work, self._services.settings.request_timeout_s)

    def _admitted(self, work: Callable[[Services, Admission], Coroutine[Any, Any, T]], timeout_s: float) -> T:
        async def admitted() -> T:
            with self._services.lifecycle.admit(timeout_s) as admission:
                return await work(self._services, admission)

        return self._run(admitted())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _read(self, image: ImageSource) -> bytes:
        """The bytes of an image. Raises BodyTooLarge, EmptyBody, and MalformedRequest if a file cannot be read."""
        max_bytes = self._services.settings.max_body_bytes
        try:
            size = len(image) if isinstance(image, bytes) else Path(image).stat().st_size
            if size > max_bytes:
                raise BodyTooLarge(f"the file is larger than the limit of {max_bytes} bytes")
            data = image if isinstance(image, bytes) else Path(image).read_bytes()
        except OSError as error:
            raise MalformedRequest(f"the file cannot be read: {error.strerror}") from None
        if not data:
            raise EmptyBody("the file is empty")
        return data


def load(
    model: str | Path | None = None, *, device: str | None = None, settings: Settings | None = None
) -> LoadedModel:
    """Load a model by its name in the models folder, or from a directory.

    ``device``: auto, cpu or cuda. What is not given comes from the settings, by default from the environment
    (``MEDPATCHNET_MODEL``). Raises ArtifactError and ConfigurationError.
    """
    given = {"model": None if model is None else str(model), "device": device}
    base = settings or Settings()
    changes = {name: value for name, value in given.items() if value is not None}
    return LoadedModel(Settings.model_validate({**base.model_dump(), **changes}))


async def _predict(
    services: Services, data: bytes, operating_point: str | None, admission: Admission
) -> tuple[Prediction, ModelImage]:
    model = services.models.get().at(operating_point)
    return await services.predictor.predict(data, model, admission.deadline, admission.watch)


def _query(kind: type[Q], parameters: dict[str, object]) -> Q:
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        raise InvalidQuery("; ".join(describe(error))) from None
