"""Errors as RFC 9457 problem responses. The only module that maps domain errors to HTTP statuses."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from app import errors
from app.api.open_inference.bodies import PREFIX
from app.telemetry import Metrics, RejectionReason, get_logger, request_id_var
from app.validation import dotted

PROBLEM_JSON = "application/problem+json"
_COMPONENT = "#/components/schemas/{model}"
_CHALLENGE = 'Bearer realm="medpatchnet"'

STATUS: dict[type[errors.MedPatchNetError], HTTPStatus] = {
    errors.EmptyBody: HTTPStatus.BAD_REQUEST,
    errors.MalformedRequest: HTTPStatus.BAD_REQUEST,
    errors.ClientGone: HTTPStatus.BAD_REQUEST,
    errors.InvalidQuery: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownFinding: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownModel: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UntrainedFinding: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ResultNotFound: HTTPStatus.NOT_FOUND,
    errors.UnknownNode: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.JobNotFound: HTTPStatus.NOT_FOUND,
    errors.NoShadowModel: HTTPStatus.NOT_FOUND,
    errors.IdempotencyConflict: HTTPStatus.CONFLICT,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnreadableImage: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NoPixels: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NoSourceObject: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ObjectNotPossible: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotAChestRadiograph: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DifferentPatients: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DifferentViews: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DecodeTimeout: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DecoderCrashed: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.QueueFull: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Draining: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.AuditUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SpoolFull: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NodeUnavailable: HTTPStatus.BAD_GATEWAY,
    errors.NodeRefused: HTTPStatus.BAD_GATEWAY,
    errors.StudyNotFound: HTTPStatus.NOT_FOUND,
    errors.InvalidQueryResponse: HTTPStatus.BAD_GATEWAY,
    errors.AnalysisFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ObjectNotCreated: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ResultConflict: HTTPStatus.CONFLICT,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    errors.InferenceFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidModelOutput: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ArtifactError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_REJECTIONS: dict[str, RejectionReason] = {
    errors.QueueFull.code: "queue_full",
    errors.Draining.code: "draining",
    errors.NotReady.code: "not_ready",
    errors.DeadlineExceeded.code: "deadline_exceeded",
    errors.Unauthenticated.code: "unauthenticated",
    errors.Forbidden.code: "forbidden",
    errors.RateLimited.code: "rate_limited",
    errors.AuditUnavailable.code: "audit_unavailable",
    errors.SpoolFull.code: "spool_full",
    errors.StoreUnavailable.code: "store_unavailable",
}


class ProblemItem(BaseModel):
    """One of several errors: its place, and what is wrong."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details. ``type`` ends in the stable error code."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ProblemItem] = Field(default_factory=list[ProblemItem])
    error: str | None = Field(None, description="The detail again, where clients of Open Inference read it; /v2 only.")


PROBLEM_SCHEMA = {"$ref": _COMPONENT.format(model=Problem.__name__)}
"""Schema of a problem in the OpenAPI document; ``install_problems`` adds its definition."""


def problem_response(
    code: str,
    status: int,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    items: Sequence[ProblemItem] = (),
    route: str = "",
) -> Response:
    """A problem response about the current request, which ``route`` (a template) would have answered."""
    problem = Problem(
        type=f"urn:medpatchnet:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        request_id=request_id_var.get(),
        errors=list(items),
        error=detail if route.startswith(PREFIX) else None,
    )
    return Response(problem.model_dump_json(exclude_none=True), status, headers, media_type=PROBLEM_JSON)


def internal_error() -> Response:
    """The response to an unexpected error: nothing but the request id."""
    return problem_response(
        "internal_error", 500, "unexpected error; the log of the service has its details under the request id"
    )


def install_problems(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error of ``app`` with a problem, and document problems."""

    async def on_domain_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.MedPatchNetError)  # noqa: S101 - registered for this class only
        status = STATUS[type(error)]
        reason = _REJECTIONS.get(error.code)
        if reason is not None:
            metrics.requests_rejected.labels(reason).inc()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and reason is None:
            get_logger().error("request_failed", code=error.code)
        return problem_response(error.code, status, error.detail, headers=_headers(error), route=_route(request))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
        items = [_item(entry) for entry in error.errors()]
        is_framing = any(entry["type"] == "json_invalid" for entry in error.errors())
        if is_framing:
            return problem_response(errors.MalformedRequest.code, HTTPStatus.BAD_REQUEST, "the body is not valid JSON")
        return problem_response(
            errors.InvalidQuery.code,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "; ".join(f"{item.pointer}: {item.detail}" for item in items),
            items=items,
            route=_route(request),
        )

    async def on_http(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_")
        return problem_response(code, error.status_code, phrase, headers=dict(error.headers or {}))

    app.add_exception_handler(errors.MedPatchNetError, on_domain_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    _document_problems(app)


def _document_problems(app: FastAPI) -> None:
    """Define problems in the OpenAPI document. FastAPI only does so for responses in JSON, not in problem+json."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _, definitions = models_json_schema([(Problem, "serialization")], ref_template=_COMPONENT)
        document["components"]["schemas"].update(definitions["$defs"])
        return document

    app.openapi = openapi


def _route(request: Request) -> str:
    return getattr(request.scope.get("route"), "path", "")


def _headers(error: errors.MedPatchNetError) -> dict[str, str] | None:
    """When to retry, or how to authenticate (RFC 6750, section 3)."""
    if isinstance(error, errors.CapacityError):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": _CHALLENGE + (', error="invalid_token"' if error.sent else "")}
    if isinstance(error, errors.Forbidden):
        return {"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'}
    return None


def _item(entry: dict[str, Any]) -> ProblemItem:
    """The place and what is wrong, without the value that was sent."""
    return ProblemItem(pointer=dotted(entry["loc"]), detail=str(entry["msg"]))
