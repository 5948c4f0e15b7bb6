"""Middleware of every request: request id, log line, metrics, and the response to unexpected errors."""

from time import perf_counter

import structlog
from opentelemetry.trace import Span, SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import internal_error
from app.telemetry import (
    Metrics,
    caller_trace,
    error_places,
    get_logger,
    request_id_from,
    request_id_var,
    span,
    trace_id,
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET_ROUTES = frozenset({"/livez", "/readyz", "/health", "/metrics"})


class RequestMiddleware:
    """Gives every request an id, logs and counts it by route template, and answers unexpected errors with a problem."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_from(headers.get("x-request-id"))
        request_id_var.set(request_id)
        caller = caller_trace(headers.get("traceparent"))
        begin = perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                outgoing = MutableHeaders(scope=message)
                outgoing["X-Request-ID"] = request_id
                if caller is not None:
                    outgoing["traceparent"] = headers["traceparent"].strip()
            await send(message)

        with (
            span("request", SpanKind.SERVER, caller) as own,
            structlog.contextvars.bound_contextvars(request_id=request_id, trace_id=trace_id(own)),
        ):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:  # noqa: BLE001 - the client gets a problem, never a stack trace
                get_logger().error("unexpected_error", error=type(error).__name__, at=error_places(error))
                if not status:
                    await internal_error()(scope, receive, send_with_id)
            self._record(scope, status, perf_counter() - begin, own)

    def _record(self, scope: Scope, status: int, seconds: float, own: Span) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        own.update_name(f"{method} {route}")
        own.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        self._metrics.http_requests.labels(route, method, str(status)).inc()
        log = get_logger().debug if route in _QUIET_ROUTES else get_logger().info
        log("request", route=route, method=method, status=status, duration_ms=round(seconds * 1000, 1))


class HeadMiddleware:
    """Answers HEAD as GET without the body (RFC 9110, 9.3.2), on every route that has GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI scope."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_head)
        finally:
            scope["route"] = as_get.get("route")  # the metrics count requests by route
