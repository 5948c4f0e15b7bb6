"""Metrics with closed label sets, structured logs, request ids and spans."""

import logging
import re
import sys
import traceback
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
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

JobOutcome = Literal["expanded", "not_found", "retried", "dead"]
FilmOutcome = Literal["analysed", "incomplete", "ignored", "refused", "retried", "dead"]
ObjectOutcome = Literal["delivered", "retried", "dead"]
ReceiptOutcome = Literal["accepted", "refused", "too_large", "spool_full", "store_unavailable"]
AssociationOutcome = Literal["accepted", "unknown_called", "unknown_calling", "too_many", "draining", "malformed"]
ImageOrigin = Literal["cr", "dx", "other_dicom", "png", "jpeg"]
"""Modality or file format of a radiograph: a closed set, never text of the file."""

ShadowOutcome = Literal["compared", "dropped", "failed"]
Agreement = Literal["both_positive", "both_negative", "only_served", "only_shadow", "undecided"]
"""How the decisions of the served and of the shadow model about one finding relate."""

STAGES: tuple[Stage, ...] = ("decode", "preprocess", "queue", "inference", "render")

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_PROPAGATOR = TraceContextTextMapPropagator()
_NAMESPACE = "medpatchnet"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
DIFFERENCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Bounds of the absolute differences of two probabilities."""

_TENTHS = tuple(step / 10 for step in range(1, 10))

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
        counter = partial(Counter, namespace=_NAMESPACE, registry=self.registry)
        gauge = partial(Gauge, namespace=_NAMESPACE, registry=self.registry)
        histogram = partial(Histogram, namespace=_NAMESPACE, registry=self.registry)
        self.http_requests = counter("http_requests", "HTTP requests by route template.", ("route", "method", "code"))
        self.stage_duration = histogram(
            "stage_duration_seconds", "Duration of one stage of a request.", ("stage",), buckets=_SECONDS
        )
        self.ready = gauge("ready", "Whether the service is ready, as /readyz reports.")
        self.queue_depth = gauge("queue_depth", "Patches queued for the model.")
        self.batch_images = histogram("batch_images", "Work items in one model call.", buckets=_BATCHES)
        self.inference_faults = counter("inference_faults", "Failed model calls.", ("kind",))
        self.requests_rejected = counter(
            "requests_rejected", "Requests rejected for capacity, deadline or authorization.", ("reason",)
        )
        self.decode_failures = counter(
            "decode_failures", "Images that could not be decoded or were refused.", ("transfer_syntax", "reason")
        )
        self.decode_worker_restarts = gauge("decode_worker_restarts", "Decode workers replaced since the start.")
        self.model = gauge("model_info", "The served models.", ("name", "version", "weights_sha256", "device"))
        self.positive = counter("positive", "Positive findings.", ("finding",))
        self.probability = histogram(
            "probability", "Served probabilities, to detect drift.", ("finding",), buckets=_TENTHS
        )
        self.reference_probability = gauge(
            "reference_probability",
            "Share of the reference radiographs with a probability up to a bound, from the default model's manifest.",
            ("finding", "up_to"),
        )
        self.evidence_share = counter(
            "evidence_share",
            "Shares of the positive evidence by region, 1 in total for each radiograph.",
            ("source", "region"),
        )
        self.reference_evidence = gauge(
            "reference_evidence_share", "Mean share of the positive evidence by region, from the manifest.", ("region",)
        )
        self.gpu_memory = gauge("gpu_memory_bytes", "Memory of the CUDA device.", ("kind",))
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
        counter = partial(Counter, namespace=_NAMESPACE, subsystem="pacs", registry=metrics.registry)
        gauge = partial(Gauge, namespace=_NAMESPACE, subsystem="pacs", registry=metrics.registry)
        self.jobs = counter("jobs", "Attempts to query a study, by outcome.", ("outcome",))
        self.films = counter("films", "Attempts to analyse an instance, by outcome.", ("outcome",))
        self.objects = counter("objects", "Attempts to deliver a result, by outcome.", ("outcome",))
        self.received = counter("received", "Objects received by C-STORE, by outcome.", ("outcome",))
        self.associations = counter("associations", "Requested associations, by outcome.", ("outcome",))
        self.waiting = gauge("waiting", "Waiting work, by queue.", ("queue",))
        self.dead = gauge("dead", "Dead letters, by queue.", ("queue",))
        self.spool_bytes = gauge("spool_bytes", "Stored bytes of images and results.")
        for by_outcome, outcomes in (
            (self.jobs, JobOutcome),
            (self.films, FilmOutcome),
            (self.objects, ObjectOutcome),
            (self.received, ReceiptOutcome),
            (self.associations, AssociationOutcome),
        ):
            for outcome in get_args(outcomes):
                by_outcome.labels(outcome)


class ShadowMetrics:
    """The metrics of the shadow model, in the registry of ``metrics``."""

    def __init__(self, metrics: Metrics) -> None:
        counter = partial(Counter, namespace=_NAMESPACE, subsystem="shadow", registry=metrics.registry)
        gauge = partial(Gauge, namespace=_NAMESPACE, subsystem="shadow", registry=metrics.registry)
        histogram = partial(Histogram, namespace=_NAMESPACE, subsystem="shadow", registry=metrics.registry)
        self.model = gauge("model_info", "The shadow model.", ("name", "version", "weights_sha256", "device"))
        self.radiographs = counter(
            "radiographs", "Radiographs for the shadow model: compared, dropped while busy, or failed.", ("outcome",)
        )
        self.waiting = gauge("waiting", "Radiographs that wait for the shadow model.")
        self.difference = histogram(
            "difference",
            "Absolute difference of the probabilities of the served and the shadow model.",
            ("finding",),
            buckets=DIFFERENCES,
        )
        self.decisions = counter(
            "decisions", "Decisions of the served beside those of the shadow model.", ("finding", "agreement")
        )
        for outcome in get_args(ShadowOutcome):
            self.radiographs.labels(outcome)


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


def milliseconds_since(begin: float) -> float:
    """The time since ``begin``, a value of ``perf_counter``, as the ``duration_ms`` of a log line."""
    return round((perf_counter() - begin) * 1000, 1)


def error_places(error: Exception) -> list[str]:
    """File and line of the innermost frames of an exception: its message is left out, because it can quote an image."""
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)][-5:]


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
