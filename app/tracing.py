"""Traces to an OpenTelemetry collector. Spans hold route templates, stages and outcomes, never what was sent."""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import trace

from app import __version__
from app.errors import ConfigurationError


@contextmanager
def traces_to(endpoint: str) -> Generator[None]:
    """Send the spans of this process to an OTLP endpoint, and what is left on leaving; nothing where it is empty.

    Sampling, batches and further attributes are set by OpenTelemetry's own ``OTEL_`` variables. A collector that is
    away costs its spans and nothing else. Raises ConfigurationError where the extra is not installed.
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
            "MEDPATCHNET_OTLP_ENDPOINT needs the extra 'tracing': pip install 'medpatchnet[tracing]'"
        ) from None
    resource = Resource.create({"service.name": "medpatchnet", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
