"""Authorization of routes: declared beside the route, and checked before the body is read."""

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from time import monotonic
from typing import Any, Literal, TypeVar

import structlog
from fastapi import Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import Message

from app.access.callers import Scope
from app.access.gate import Gate
from app.api.uploads import read_bounded
from app.audit import AuditLog, Entry, Subject, subject_var
from app.errors import Forbidden, InvalidQuery, MedPatchNetError, RateLimited, Unauthenticated
from app.settings import Settings
from app.telemetry import caller_var, request_id_var

Requirement = Scope | Literal["any", "operations", "public"]
"""A scope; ``any``: any valid credential; ``operations``: open on the admin port, else scope admin; ``public``."""

# These can arrive in any number and would fill the audit log; the metrics count them.
_NO_SUCH_ROUTE = "no_such_route"
_NOT_AUDITED = {RateLimited.code, _NO_SUCH_ROUTE}
_ATTRIBUTE = "__requirement__"
_SCHEMES = (
    Security(HTTPBearer(auto_error=False, description="An API key, or an OIDC access token.")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")),
)

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)


def requires(requirement: Requirement) -> Callable[[H], H]:
    """Declare what a handler requires of its caller. Used below the decorator of the route."""

    def declare(handler: H) -> H:
        setattr(handler, _ATTRIBUTE, requirement)
        return handler

    return declare


def requirement_of(handler: Handler) -> Requirement | None:
    """The requirement that a handler declares, or None."""
    return getattr(handler, _ATTRIBUTE, None)


class GuardedRoute(APIRoute):
    """A route that authorizes a request before its body is parsed and its handler runs."""

    def __init__(self, path: str, endpoint: Handler, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        """Raises TypeError if the handler declares no requirement."""
        requirement = requirement_of(endpoint)
        if requirement is None:
            raise TypeError(f"{path}: declare @requires(…) on {endpoint.__name__}")
        self.requirement: Requirement = requirement
        own = options.get("dependencies") or []
        if requirement != "public":
            options["dependencies"] = [*own, *(scheme for scheme in _SCHEMES if scheme not in own)]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with authorization, a bounded body and an audit entry."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            await authorize(request, self.requirement)
            if self.body_field is not None:  # FastAPI would read a JSON body without a limit
                request = await bounded(request)
            return await handler(request)

        async def audited(request: Request) -> Response:
            log: AuditLog | None = request.app.state.audit
            if log is None:
                return await guarded(request)
            subject = Subject()
            subject_var.set(subject)
            outcome = "internal_error"
            try:
                response = await guarded(request)
                outcome = "ok" if response.status_code < HTTPStatus.BAD_REQUEST else str(response.status_code)
            except MedPatchNetError as error:
                outcome = error.code
                raise
            except RequestValidationError:
                outcome = InvalidQuery.code
                raise
            except HTTPException:
                outcome = _NO_SUCH_ROUTE
                raise
            finally:
                if outcome not in _NOT_AUDITED:
                    action = f"{request.method} {self.path}"
                    entry = Entry(caller_var.get(), action, outcome, request_id_var.get(), subject)
                    await asyncio.to_thread(log.append, entry)
            return response

        return guarded if self.requirement in {"public", "operations"} else audited


async def authorize(request: Request, requirement: Requirement) -> None:
    """Check that the caller meets a requirement, and record the caller for logs and results.

    Raises Unauthenticated, Forbidden, RateLimited, and 404 for anything but operations on the admin port.
    """
    on_admin_port = _is_on_admin_port(request)
    if on_admin_port and requirement in {"operations", "public"}:
        return
    if on_admin_port:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if requirement == "public":
        return
    gate: Gate = request.app.state.gate
    headers = request.headers
    address = request.client.host if request.client else ""
    try:
        caller = await gate.identify(headers.getlist("authorization"), headers.getlist("x-api-key"))
    except Unauthenticated:
        gate.limiter.spend(f"unknown at {address}")  # limits guessing, and keeps it from filling the audit log
        raise
    caller_var.set(caller.name)
    structlog.contextvars.bind_contextvars(caller=caller.name)
    needed = "admin" if requirement == "operations" else requirement
    if needed != "any" and needed not in caller.scopes:
        raise Forbidden(f"the credential lacks the required scope '{needed}'", scope=needed)
    gate.limiter.spend(caller.name if gate.is_on else address)


async def bounded(request: Request) -> Request:
    """The request with its body, read within the limits of size and time.

    Raises BodyTooLarge, EmptyBody, DeadlineExceeded, MalformedRequest.
    """
    limits: Settings = request.app.state.services.settings
    body = await read_bounded(request, limits.max_json_bytes, monotonic() + limits.request_timeout_s)

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, replay)


def result_key() -> str:
    """Key of the result of the current request. Contains the caller, because others can guess request ids."""
    return f"{caller_var.get()} {request_id_var.get()}"


def own_result(request_id: str) -> str:
    """Key of an earlier result of the current caller."""
    return f"{caller_var.get()} {request_id}"


def _is_on_admin_port(request: Request) -> bool:
    admin_port: int | None = request.app.state.admin_port
    server = request.scope.get("server")
    return admin_port is not None and server is not None and server[1] == admin_port
