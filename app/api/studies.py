"""The routes of the PACS: request the analysis of a study, and follow its job."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from app.api.openapi import problems
from app.api.queries import ImageQuery
from app.api.responses import json_answer
from app.api.schemas.jobs import JobBody
from app.api.security import GuardedRoute, requires
from app.dicom_objects.content import ReportKind
from app.errors import UnknownNode
from app.pacs.store.inbox import Order
from app.pacs.store.jobs import Analysis
from app.pacs.work.analyses import Analyses
from app.telemetry import caller_var

router = APIRouter(route_class=GuardedRoute)


class AnalyzeQuery(ImageQuery):
    """Parameters of ``POST /studies/{study}/analyze``."""

    source: str = Field(min_length=1, max_length=64, description="Node of the configuration that has the study.")
    target: str = Field(min_length=1, max_length=64, description="Node of the configuration that receives the results.")
    kinds: list[ReportKind] = Field(
        default=["sr", "sc", "gsps"], alias="object", min_length=1, description="Object to create; repeat for several."
    )


async def get_analyses(request: Request) -> Analyses:
    """The use case from the composition root. Raises UnknownNode if no PACS is configured."""
    analyses: Analyses | None = request.app.state.analyses
    if analyses is None:
        raise UnknownNode("no PACS is configured: set MEDPATCHNET_PACS_FILE")
    return analyses


AnalysesOf = Annotated[Analyses, Depends(get_analyses)]


@router.post(
    "/studies/{study}/analyze",
    status_code=202,
    response_model=JobBody,
    responses=problems(401, 403, 409, 422, 429, 503),
)
@requires("analyze")
async def analyze(
    request: Request,
    analyses: AnalysesOf,
    study: Annotated[str, Path(description="The Study Instance UID.", max_length=64)],
    query: Annotated[AnalyzeQuery, Query()],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Retrieve the chest radiographs of a study, analyse them, and store the results in the study: 202 with a job.

    The same `Idempotency-Key` with the same parameters returns the same job.
    """
    order = Order(query.target, tuple(dict.fromkeys(query.kinds)), query.model)
    owner = caller_var.get()
    identity = await analyses.open(owner, Analysis(study, query.source, order), idempotency_key)
    answer = json_answer(JobBody.of(await analyses.report(identity, owner)), 202)
    answer.headers["Location"] = f"{request.scope['root_path']}/jobs/{identity}"
    return answer


@router.get("/jobs/{job}", response_model=JobBody, responses=problems(401, 403, 404, 422, 429, 503))
@requires("analyze")
async def job_report(analyses: AnalysesOf, job: Annotated[str, Path(max_length=64)]) -> Response:
    """The state of a job of the caller, with all instances and results."""
    return json_answer(JobBody.of(await analyses.report(job, caller_var.get())))
