"""The routes: parse, call, answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from app.api.explanations import ExplanationFormat, explain_image, is_smooth, map_request
from app.api.negotiation import choose_media_type
from app.api.presence import while_connected
from app.api.problems import PROBLEM_JSON, PROBLEM_SCHEMA
from app.api.queries import ExplainQuery, ImageQuery, PredictQuery, ReportQuery
from app.api.reports import DICOM, MULTIPART_DICOM, dicom_answer
from app.api.schemas.catalogue import FindingsBody, HealthBody, ModelBody
from app.api.schemas.explain import ExplainBody
from app.api.schemas.predict import PredictBody
from app.api.schemas.whatif import WhatIfBody, WhatIfRequest
from app.api.security import GuardedRoute, own_result, requires, result_key
from app.api.uploads import FILE_PART, RAW_TYPES, read_image
from app.patchnet.findings import finding_index
from app.service.services import Services
from app.service.whatif import question
from app.telemetry import request_id_var

JSON, PNG = "application/json", "image/png"
FORMATS: dict[str, ExplanationFormat] = {JSON: "json", PNG: "png"}

router = APIRouter(route_class=GuardedRoute)


async def get_services(request: Request) -> Services:
    """The services that the composition root attached; a coroutine, since FastAPI gives others a thread each time."""
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(get_services)]
Accept = Annotated[str | None, Header(include_in_schema=False)]

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": [FILE_PART],
    "properties": {FILE_PART: _BINARY["schema"]},
}
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {**dict.fromkeys(RAW_TYPES, _BINARY), "multipart/form-data": {"schema": _FORM_SCHEMA}},
    }
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of problem responses."""
    content = {PROBLEM_JSON: {"schema": PROBLEM_SCHEMA}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


IMAGE_PROBLEMS = problems(400, 401, 403, 406, 413, 415, 422, 429, 500, 503, 504)


def json_answer(body: BaseModel, status: int = 200) -> Response:
    """A JSON response, serialised once."""
    return Response(body.model_dump_json(), status, media_type=JSON)


@router.post("/predict", response_model=PredictBody, responses=IMAGE_PROBLEMS, openapi_extra=IMAGE_BODY)
@requires("predict")
async def predict(
    request: Request, services: ServicesOf, query: Annotated[PredictQuery, Query()], accept: Accept = None
) -> Response:
    """Score the 14 findings on one chest radiograph."""
    choose_media_type(accept, [JSON])
    model = services.models.get(query.model)
    with services.lifecycle.admit(services.settings.request_timeout_s) as job:
        data = await read_image(request, services.settings.max_body_bytes, job.deadline)
        work = services.predictor.predict(data, model, job.deadline, job.watch)
        prediction, _ = await while_connected(request, work)
    services.recent.remember(result_key(), model, prediction.patch_logits)
    return json_answer(PredictBody.of(request_id_var.get(), prediction, job.watch, with_grids=query.grids))


@router.post(
    "/explain",
    response_model=ExplainBody,
    responses={**IMAGE_PROBLEMS, 200: {"content": {PNG: _BINARY}}},
    openapi_extra=IMAGE_BODY,
)
@requires("explain")
async def explain(
    request: Request, services: ServicesOf, query: Annotated[ExplainQuery, Query()], accept: Accept = None
) -> Response:
    """Show where the evidence for findings lies, as numbers or drawn over the film."""
    form = query.format or FORMATS[choose_media_type(accept, list(FORMATS))]
    model = services.models.get(query.model)
    smooth = is_smooth(services, model, map_request(query, form))
    timeout = services.settings.map_timeout_s if smooth else services.settings.request_timeout_s
    with services.lifecycle.admit(timeout, is_typical=not smooth) as job:
        data = await read_image(request, services.settings.max_body_bytes, job.deadline)
        content = await while_connected(request, explain_image(services, data, query, form, job))
    return Response(content, media_type=PNG if form == "png" else JSON)


@router.post(
    "/report",
    responses={**IMAGE_PROBLEMS, 200: {"content": {DICOM: _BINARY, MULTIPART_DICOM: _BINARY}}, 204: {}},
    openapi_extra=IMAGE_BODY,
)
@requires("report")
async def report(request: Request, services: ServicesOf, query: Annotated[ReportQuery, Query()]) -> Response:
    """The result as DICOM objects of the image's study: one object, or several as multipart/related; 204 for none."""
    model = services.models.get(query.model)
    finding = None if query.finding is None else finding_index(query.finding)
    with services.lifecycle.admit(services.settings.request_timeout_s) as job:
        data = await read_image(request, services.settings.max_body_bytes, job.deadline)
        work = services.predictor.predict(data, model, job.deadline, job.watch)
        prediction, _ = await while_connected(request, work)
        with job.watch.stage("render"):
            files = await services.reporter.report(data, prediction, query.kind, finding)
    return dicom_answer(files)


@router.post("/whatif", response_model=WhatIfBody, responses=problems(400, 401, 403, 404, 406, 413, 422, 429))
@requires("explain")
async def whatif(services: ServicesOf, asked: WhatIfRequest, accept: Accept = None) -> Response:
    """Take patches away and decide again: exact, without running the network."""
    choose_media_type(accept, [JSON])
    if asked.request_id is not None:
        model, patch_logits = services.recent.recall(own_result(asked.request_id))
    else:
        model = services.models.get(asked.model)
        patch_logits = asked.patch_logits(model.manifest.patches_per_side)
    answer = question(model, patch_logits, asked.cells, asked.rule)
    return json_answer(WhatIfBody.of(request_id_var.get(), answer, asked.findings))


@router.get("/findings", response_model=FindingsBody, responses=problems(401, 422, 429))
@requires("any")
async def findings(services: ServicesOf, query: Annotated[ImageQuery, Query()]) -> Response:
    """The findings in label order: names, codes, thresholds, measured quality."""
    return json_answer(FindingsBody.of(services.models.get(query.model)))


@router.get("/model", response_model=ModelBody, responses=problems(401, 422, 429))
@requires("any")
async def model_card(services: ServicesOf, query: Annotated[ImageQuery, Query()]) -> Response:
    """The served model: manifest, hashes, intended use, model card."""
    return json_answer(ModelBody.of(services.models.get(query.model), services.models.all))


@router.get("/livez")
@requires("public")
async def livez() -> Response:
    """Whether the process answers at all."""
    return Response(b'{"status":"live"}', media_type=JSON)


@router.get("/readyz", response_model=HealthBody, responses=problems(503))
@requires("public")
async def readyz(services: ServicesOf) -> Response:
    """Whether to send images here: weights loaded and warmed up, not draining."""
    body = HealthBody.of(services)
    return json_answer(body, 200 if body.status == "ready" else 503)


@router.get("/health", response_model=HealthBody, responses=problems(401, 403, 429, 503))
@requires("operations")
async def health(services: ServicesOf) -> Response:
    """The same as /readyz, for whoever expects this name."""
    return await readyz(services)


@router.get(
    "/metrics",
    response_class=Response,
    responses={**problems(401, 403, 429), 200: {"content": {"text/plain": {}}}},
)
@requires("operations")
async def metrics(services: ServicesOf) -> Response:
    """All metrics in the Prometheus text format."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
