"""The routes of the analysis: parse the request, call the use case, build the response."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from app.api.explanations import ExplanationFormat, explain_image, is_smooth, map_request
from app.api.openapi import BINARY, IMAGE_BODY, IMAGE_PROBLEMS, PAIR_BODY, Accept, ServicesOf, problems
from app.api.presence import while_connected
from app.api.queries import CompareQuery, ExplainQuery, ImageQuery, PredictQuery, ReportQuery
from app.api.responses import FHIR, JSON, PNG, choose_media_type, dicom_answer, fhir_answer, json_answer
from app.api.schemas.catalogue import FindingsBody, HealthBody, ModelBody
from app.api.schemas.compare import CompareBody
from app.api.schemas.explain import ExplainBody
from app.api.schemas.predict import PredictBody
from app.api.schemas.whatif import WhatIfBody, WhatIfRequest
from app.api.security import GuardedRoute, own_result, requires, result_key
from app.api.uploads import read_image, read_pair
from app.pacs.transport.multipart import DICOM, RELATED_DICOM
from app.patchnet.findings import finding_index, finding_indices
from app.service.anatomy.reader import PendingAnatomy
from app.service.comparison.comparer import CompareRequest
from app.service.objects import make_objects
from app.service.report import AnalysedFilm
from app.service.whatif import decide_without
from app.telemetry import request_id_var

FORMATS: dict[str, ExplanationFormat] = {JSON: "json", PNG: "png"}

router = APIRouter(route_class=GuardedRoute)


@router.post("/predict", response_model=PredictBody, responses=IMAGE_PROBLEMS, openapi_extra=IMAGE_BODY)
@requires("predict")
async def predict(
    request: Request, services: ServicesOf, query: Annotated[PredictQuery, Query()], accept: Accept = None
) -> Response:
    """Score the 14 findings on one chest radiograph."""
    choose_media_type(accept, [JSON])
    model = services.models.get(query.model).at(query.operating_point)
    with services.lifecycle.admit(services.settings.request_timeout_s) as job:
        data = await read_image(request, services.settings.max_body_bytes, job.deadline)
        work = services.predictor.predict(data, model, job.deadline, job.watch)
        prediction, _ = await while_connected(request, work)
    services.recent.remember(result_key(), model, prediction.patch_logits)
    return json_answer(PredictBody.of(request_id_var.get(), prediction, job.watch, with_grids=query.grids))


@router.post(
    "/explain",
    response_model=ExplainBody,
    responses={**IMAGE_PROBLEMS, 200: {"content": {PNG: BINARY}}},
    openapi_extra=IMAGE_BODY,
)
@requires("explain")
async def explain(
    request: Request, services: ServicesOf, query: Annotated[ExplainQuery, Query()], accept: Accept = None
) -> Response:
    """Show where the evidence for findings lies, as numbers or as an overlay on the radiograph."""
    form = query.format or FORMATS[choose_media_type(accept, list(FORMATS))]
    model = services.models.get(query.model).at(query.operating_point)
    smooth = is_smooth(services, model, map_request(query, form))
    timeout = services.settings.map_timeout_s if smooth else services.settings.request_timeout_s
    with services.lifecycle.admit(timeout, updates_estimate=not smooth) as job:
        data = await read_image(request, services.settings.max_body_bytes, job.deadline)
        content = await while_connected(request, explain_image(services, data, query, form, job))
    return Response(content, media_type=PNG if form == "png" else JSON)


@router.post(
    "/report",
    responses={**IMAGE_PROBLEMS, 200: {"content": {DICOM: BINARY, RELATED_DICOM: BINARY, FHIR: {}}}, 204: {}},
    openapi_extra=IMAGE_BODY,
)
@requires("report")
async def report(request: Request, services: ServicesOf, query: Annotated[ReportQuery, Query()]) -> Response:
    """The result as DICOM objects in the study of the image: one, or several as multipart/related; 204 for none.

    With `object=fhir`: as a FHIR transaction.

    If some of several kinds cannot be made, the others are returned and `X-Object-Problems` lists the failures.
    """
    model = services.models.get(query.model).at(query.operating_point)
    finding = None if query.finding is None else finding_index(query.finding)
    with services.lifecycle.admit(services.settings.request_timeout_s) as job:
        data = await read_image(request, services.settings.max_body_bytes, job.deadline)
        work = services.predictor.predict(data, model, job.deadline, job.watch)
        prediction, image = await while_connected(request, work)
        film = AnalysedFilm(data, prediction, PendingAnatomy(services.anatomy, image, job.deadline, job.watch))
        with job.watch.stage("render"):
            if query.fhir is not None:
                return fhir_answer(await services.reporter.fhir(data, prediction, query.fhir), query.fhir)
            made = await make_objects(services.reporter, film, query.dicom_kinds, finding, zones=query.zones)
    return dicom_answer(made)


@router.post("/whatif", response_model=WhatIfBody, responses=problems(400, 401, 403, 404, 406, 413, 422, 429))
@requires("explain")
async def whatif(services: ServicesOf, question: WhatIfRequest, accept: Accept = None) -> Response:
    """Decide again without some patches: exact, and without running the model."""
    choose_media_type(accept, [JSON])
    if question.request_id is not None:
        model, patch_logits = services.recent.recall(own_result(question.request_id))
    else:
        model = services.models.get(question.model)
        patch_logits = question.patch_logits(model.manifest.patches_per_side)
    answer = decide_without(model.at(question.operating_point), patch_logits, question.cells, question.rule)
    return json_answer(WhatIfBody.of(request_id_var.get(), answer, question.findings))


@router.post("/compare", response_model=CompareBody, responses=IMAGE_PROBLEMS, openapi_extra=PAIR_BODY)
@requires("explain")
async def compare(
    request: Request, services: ServicesOf, query: Annotated[CompareQuery, Query()], accept: Accept = None
) -> Response:
    """Compare a chest radiograph with a prior one: what changed for each finding, and in which zone of the chest."""
    choose_media_type(accept, [JSON])
    model = services.models.get(query.model).at(query.operating_point)
    asked = CompareRequest(tuple(finding_indices(query.finding)), query.map)
    with services.lifecycle.admit(services.settings.request_timeout_s) as job:
        files = await read_pair(request, services.settings.max_body_bytes, job.deadline)
        work = services.comparer.compare(files, model, asked, job.deadline, job.watch)
        comparison = await while_connected(request, work)
    return json_answer(CompareBody.of(request_id_var.get(), comparison, job.watch))


@router.get("/findings", response_model=FindingsBody, responses=problems(401, 422, 429))
@requires("any")
async def findings(services: ServicesOf, query: Annotated[ImageQuery, Query()]) -> Response:
    """The findings in label order, with their names, codes, operating points and measured quality."""
    return json_answer(FindingsBody.of(services.models.get(query.model)))


@router.get("/model", response_model=ModelBody, responses=problems(401, 422, 429))
@requires("any")
async def model_card(services: ServicesOf, query: Annotated[ImageQuery, Query()]) -> Response:
    """A served model: its manifest, hashes, intended use and model card."""
    return json_answer(ModelBody.of(services.models.get(query.model), services.models.all))


@router.get("/livez")
@requires("public")
async def livez() -> Response:
    """Liveness: whether the process responds."""
    return Response(b'{"status":"live"}', media_type=JSON)


@router.get("/readyz", response_model=HealthBody, responses=problems(503))
@requires("public")
async def readyz(services: ServicesOf) -> Response:
    """Readiness: models loaded and warmed up, not draining."""
    body = HealthBody.of(services)
    return json_answer(body, 200 if body.status == "ready" else 503)


@router.get("/health", response_model=HealthBody, responses=problems(401, 403, 429, 503))
@requires("operations")
async def health(services: ServicesOf) -> Response:
    """The same as /readyz, under its other common name."""
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
