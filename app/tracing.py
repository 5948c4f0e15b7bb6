"""Traces for an OpenTelemetry collector. Spans hold route templates, stages and outcomes, never request data."""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import trace

from app import __version__
from app.errors import ConfigurationError


@contextmanager
def traces_to(endpoint: str) -> Generator[None]:
    """Export the spans of this process to an OTLP endpoint; an empty endpoint exports nothing.

    Remaining spans are flushed when the block ends. OpenTelemetry's own ``OTEL_`` variables set sampling, batching and
    attributes. Spans are lost while the collector is down. Raises ConfigurationError if the extra is not installed.
    """
    if not endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "MEDPATCHNET_OTLP_ENDPOINT needs the extra 'tracing' of this project: uv sync --extra tracing"
        ) from None
    resource = Resource.create({"service.name": "medpatchnet", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
