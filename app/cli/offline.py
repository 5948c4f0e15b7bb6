"""The commands without a server: the same use cases and the same bodies."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from app.api.explanations import explain_image
from app.api.queries import ExplainQuery
from app.api.schemas.predict import PredictBody
from app.dicom_objects.content import ReportKind
from app.errors import BodyTooLarge, EmptyBody, InvalidQuery, MalformedRequest, MedPatchNetError
from app.patchnet.findings import finding_index
from app.runtime.application import open_services
from app.service.admission import Lifecycle
from app.service.services import Services
from app.settings import Settings
from app.telemetry import Metrics, request_id_from, request_id_var
from app.validation import describe

Advance = Callable[[int, int | None], None]
Show = Callable[[Path, PredictBody | MedPatchNetError], None]


async def predict_files(settings: Settings, files: Sequence[Path], show: Show, advance: Advance) -> None:
    """Score images, a few at a time so that decoding and inference overlap; ``show`` gets the results in order."""
    metrics = Metrics()
    slots = asyncio.Semaphore(2 * settings.decode_workers)
    async with open_services(settings, metrics, Lifecycle(len(files), metrics)) as services:

        async def work(file: Path) -> PredictBody | MedPatchNetError:
            async with slots:
                try:
                    return await _predict_file(services, file)
                except MedPatchNetError as error:
                    return error

        tasks = [asyncio.create_task(work(file)) for file in files]
        for file, task in zip(files, tasks, strict=True):
            show(file, await task)
            advance(1, None)


async def _predict_file(services: Services, file: Path) -> PredictBody:
    data = await asyncio.to_thread(_read, file, services.settings.max_body_bytes)
    with services.lifecycle.admit(services.settings.request_timeout_s) as admission:
        prediction, _ = await services.predictor.predict(
            data, services.models.get(), admission.deadline, admission.watch
        )
        return PredictBody.of(request_id_from(None), prediction, admission.watch, with_grids=False)


async def explain_file(settings: Settings, file: Path, query: dict[str, object], advance: Advance) -> bytes:
    """The overlay or the numbers for one image, as the body of ``POST /explain``."""
    try:
        validated = ExplainQuery.model_validate(query)
    except ValidationError as error:
        raise InvalidQuery("; ".join(describe(error))) from None
    request_id_var.set(request_id_from(None))
    metrics = Metrics()
    async with open_services(settings, metrics, Lifecycle(1, metrics)) as services:
        data = await asyncio.to_thread(_read, file, settings.max_body_bytes)
        with services.lifecycle.admit(settings.map_timeout_s) as admission:
            form = validated.format or "json"
            return await explain_image(services, data, validated, form, admission, advance)


async def report_file(settings: Settings, file: Path, kind: ReportKind, finding: str | None) -> list[bytes]:
    """The DICOM objects for one image, as in the response of ``POST /report``."""
    metrics = Metrics()
    async with open_services(settings, metrics, Lifecycle(1, metrics)) as services:
        data = await asyncio.to_thread(_read, file, settings.max_body_bytes)
        with services.lifecycle.admit(settings.request_timeout_s) as admission:
            model = services.models.get()
            prediction, _ = await services.predictor.predict(data, model, admission.deadline, admission.watch)
        column = None if finding is None else finding_index(finding)
        return await services.reporter.report(data, prediction, kind, column)


def _read(file: Path, max_bytes: int) -> bytes:
    """The bytes of a file. Raises BodyTooLarge, EmptyBody, and MalformedRequest if it cannot be read."""
    try:
        if file.stat().st_size > max_bytes:
            raise BodyTooLarge(f"the file is larger than the limit of {max_bytes} bytes")
        data = file.read_bytes()
    except OSError as error:
        raise MalformedRequest(f"the file cannot be read: {error.strerror}") from None
    if not data:
        raise EmptyBody("the file is empty")
    return data
