"""The route of the comparison of two radiographs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.api.openapi import IMAGE_PROBLEMS, PAIR_BODY, Accept, ServicesOf
from app.api.presence import while_connected
from app.api.queries import CompareQuery
from app.api.responses import JSON, choose_media_type, json_answer
from app.api.schemas.compare import CompareBody
from app.api.security import GuardedRoute, requires
from app.api.uploads import read_pair
from app.patchnet.findings import finding_indices
from app.service.comparison.comparer import CompareRequest
from app.telemetry import request_id_var

router = APIRouter(route_class=GuardedRoute)


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
