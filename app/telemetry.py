"""Metrics with closed label sets, structured logs, request ids and spans."""

import logging
import re
import sys
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import Literal, get_args

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Stage = Literal["decode", "preprocess", "queue", "inference", "render"]
RejectionReason = Literal[
    "queue_full",
    "draining",
    "not_ready",
    "deadline_exceeded",
    "unauthenticated",
    "forbidden",
    "rate_limited",
    "audit_unavailable",
    "spool_full",
    "store_unavailable",
]

Fault = Literal["engine_error", "invalid_output", "out_of_memory"]

FilmOutcome = Literal["analysed", "ignored", "refused", "retried", "dead"]
ObjectOutcome = Literal["delivered", "retried", "dead"]
ReceiptOutcome = Literal["accepted", "refused", "too_large", "spool_full", "store_unavailable"]
AssociationOutcome = Literal["accepted", "unknown_called", "unknown_calling", "too_many", "draining", "malformed"]
ImageOrigin = Literal["cr", "dx", "other_dicom", "png", "jpeg"]
"""Modality or file format of a radiograph: a closed set, never text of the file."""

STAGES: tuple[Stage, ...] = ("decode", "preprocess", "queue", "inference", "render")

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_PROPAGATOR = TraceContextTextMapPropagator()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

request_id_var: ContextVar[str] = ContextVar("request_id", default="")
caller_var: ContextVar[str] = ContextVar("caller", default="")


def request_id_from(header: str | None) -> str:
    """The client's request id if it is short and plain, else a new random one."""
    if header is not None and _SANE_REQUEST_ID.fullmatch(header):
        return header
    return uuid.uuid4().hex


def caller_trace(traceparent: str | None) -> Context | None:
    """The trace of a W3C ``traceparent`` header, or None if it is missing or malformed."""
    context = _PROPAGATOR.extract({"traceparent": traceparent or ""}, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def trace_id(current: Span) -> str | None:
    """The trace id of a span; None if no traces are recorded."""
    context = current.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


@contextmanager
def span(name: str, kind: trace.SpanKind = trace.SpanKind.INTERNAL, parent: Context | None = None) -> Generator[Span]:
    """A span around a block. Exceptions are not recorded, because their messages can quote patient data."""
    tracer = trace.get_tracer(__name__)
    with tracer.start_as_current_span(
        name, parent, kind=kind, record_exception=False, set_status_on_exception=False
    ) as current:
        yield current


class Metrics:
    """Every metric of one process, in its own registry. Units are base units; labels come from closed sets."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        prefix = "medpatchnet"
        self.http_requests = Counter(
            f"{prefix}_http_requests", "HTTP requests by route template.", ("route", "method", "code"),
            registry=self.registry,
        )  # fmt: skip
        self.stage_duration = Histogram(
            f"{prefix}_stage_duration_seconds", "Duration of one stage of a request.", ("stage",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.ready = Gauge(
            f"{prefix}_ready", "Whether the service is ready, as /readyz reports.", registry=self.registry
        )
        self.queue_depth = Gauge(f"{prefix}_queue_depth", "Patches queued for the model.", registry=self.registry)
        self.batch_images = Histogram(
            f"{prefix}_batch_images", "Work items in one model call.",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry,
        )  # fmt: skip
        self.inference_faults = Counter(
            f"{prefix}_inference_faults", "Failed model calls.", ("kind",), registry=self.registry
        )
        self.requests_rejected = Counter(
            f"{prefix}_requests_rejected",
            "Requests rejected for capacity, deadline or authorization.",
            ("reason",),
            registry=self.registry,
        )
        self.decode_failures = Counter(
            f"{prefix}_decode_failures", "Images that could not be decoded or were refused.",
            ("transfer_syntax", "reason"), registry=self.registry,
        )  # fmt: skip
        self.decode_worker_restarts = Gauge(
            f"{prefix}_decode_worker_restarts", "Decode workers replaced since the start.", registry=self.registry
        )
        self.model = Gauge(
            f"{prefix}_model_info", "The served models.", ("name", "version", "weights_sha256", "device"),
            registry=self.registry,
        )  # fmt: skip
        self.positive = Counter(f"{prefix}_positive", "Positive findings.", ("finding",), registry=self.registry)
        self.probability = Histogram(
            f"{prefix}_probability", "Served probabilities, to detect drift.", ("finding",),
            buckets=tuple(step / 10 for step in range(1, 10)), registry=self.registry,
        )  # fmt: skip
        self.reference_probability = Gauge(
            f"{prefix}_reference_probability",
            "Share of the reference radiographs with a probability up to a bound, from the default model's manifest.",
            ("finding", "up_to"), registry=self.registry,
        )  # fmt: skip
        self.evidence_share = Counter(
            f"{prefix}_evidence_share", "Shares of the positive evidence by region, 1 in total for each radiograph.",
            ("source", "region"), registry=self.registry,
        )  # fmt: skip
        self.reference_evidence = Gauge(
            f"{prefix}_reference_evidence_share", "Mean share of the positive evidence by region, from the manifest.",
            ("region",), registry=self.registry,
        )  # fmt: skip
        self.gpu_memory = Gauge(
            f"{prefix}_gpu_memory_bytes", "Memory of the CUDA device.", ("kind",), registry=self.registry
        )
        for kind in get_args(Fault):  # a rate needs a series that starts at 0
            self.inference_faults.labels(kind)
        for stage in STAGES:
            self.stage_duration.labels(stage)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def follow(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Have a gauge call ``read`` at every scrape."""
        gauge.set_function(read)


class PacsMetrics:
    """The metrics of the PACS, in the registry of ``metrics``."""

    def __init__(self, metrics: Metrics) -> None:
        registry, prefix = metrics.registry, "medpatchnet_pacs"
        self.films = Counter(
            f"{prefix}_films", "Attempts to analyse an instance, by outcome.", ("outcome",), registry=registry
        )
        self.objects = Counter(
            f"{prefix}_objects", "Attempts to deliver a result, by outcome.", ("outcome",), registry=registry
        )
        self.received = Counter(
            f"{prefix}_received", "Objects received by C-STORE, by outcome.", ("outcome",), registry=registry
        )
        self.associations = Counter(
            f"{prefix}_associations", "Requested associations, by outcome.", ("outcome",), registry=registry
        )
        self.waiting = Gauge(f"{prefix}_waiting", "Waiting work, by queue.", ("queue",), registry=registry)
        self.dead = Gauge(f"{prefix}_dead", "Dead letters, by queue.", ("queue",), registry=registry)
        self.spool_bytes = Gauge(f"{prefix}_spool_bytes", "Stored bytes of images and results.", registry=registry)
        for counter, outcomes in (
            (self.films, FilmOutcome),
            (self.objects, ObjectOutcome),
            (self.received, ReceiptOutcome),
            (self.associations, AssociationOutcome),
        ):
            for outcome in get_args(outcomes):
                counter.labels(outcome)


class Stopwatch:
    """Durations of the stages of one request, in seconds; each is also recorded as a metric."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._begin = perf_counter()
        self.seconds: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, stage: Stage) -> Generator[None]:
        """Time a block."""
        begin = perf_counter()
        try:
            with span(stage):
                yield
        finally:
            self._note(stage, perf_counter() - begin)

    def record(self, stage: Stage, seconds: float, ended_s_ago: float = 0.0) -> None:
        """Record a duration that was measured elsewhere."""
        end = time_ns() - round(ended_s_ago * 1e9)
        trace.get_tracer(__name__).start_span(stage, start_time=end - round(seconds * 1e9)).end(end)
        self._note(stage, seconds)

    def _note(self, stage: Stage, seconds: float) -> None:
        self.seconds[stage] += seconds
        self._metrics.stage_duration.labels(stage).observe(seconds)

    @property
    def total(self) -> float:
        """Seconds since the request began."""
        return perf_counter() - self._begin


def configure_logging(level: str, log_format: Literal["json", "console"]) -> None:
    """Write structured lines to stderr: the service's own, and those of libraries from WARNING up.

    uvicorn's errors are dropped, because their stack traces can quote request data; the request middleware and the
    command line log errors instead. pynetdicom's errors are dropped, because they quote what peers sent.
    """
    renderer = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    logging.getLogger("medpatchnet").setLevel(level.upper())


def get_logger() -> structlog.stdlib.BoundLogger:
    """The service's logger."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("medpatchnet")
    return logger
