"""The composition root: builds every object of the process from the settings."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from urllib.parse import urlsplit

import torch
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from app import __version__
from app.access.gate import Gate, is_loopback
from app.access.key_use import KeyUse
from app.access.keys import KeyFile
from app.access.rates import RateLimiter
from app.access.tokens import Issuer, JwkSet, TokenVerifier
from app.api import shadow, studies, viewer
from app.api.middleware import HeadMiddleware, RequestMiddleware
from app.api.open_inference import routes as open_inference
from app.api.problems import install_problems
from app.api.responses import OBJECT_PROBLEMS
from app.api.routes import router
from app.audit import AuditLog
from app.cores import usable_cores
from app.decoding.pool import DecodePool
from app.errors import ConfigurationError, MedPatchNetError
from app.imaging.radiograph import DecodeLimits
from app.inference.choice import choose_device
from app.runtime.anatomy import segmenter_loader
from app.runtime.models import MAP_CHUNK_IMAGES, load_models, start_models
from app.runtime.pacs import open_pacs
from app.runtime.shadow import open_shadow
from app.runtime.tasks import cancel
from app.service.admission import Lifecycle
from app.service.anatomy.reader import AnatomyReader
from app.service.comparison.comparer import Comparer
from app.service.drift import export_reference
from app.service.explain import Explainer
from app.service.models import ModelRegistry
from app.service.predict import Predictor
from app.service.recent import RecentResults
from app.service.report import Reporter
from app.service.services import Services
from app.settings import Settings
from app.telemetry import Metrics, get_logger
from app.tracing import traces_to

_CHECK_WORKERS_EVERY_S = 0.5
_SAVE_KEY_USE_EVERY_S = 60.0
# FastAPI's own spans would hold paths with study UIDs, queries and the messages of exceptions.
_NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
CORS_REQUEST_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "traceparent", "X-API-Key", "X-Request-ID"]
CORS_RESPONSE_HEADERS = ["Location", "Retry-After", OBJECT_PROBLEMS, "X-Request-ID"]

DESCRIPTION = """\
Scores the 14 CheXpert findings on a chest radiograph and shows where the evidence for each finding lies. The evidence
is exact: the decision is the mean of independent patch logits. Research use only; not a medical device."""


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application; its services start and stop with the server's lifespan."""
    metrics = Metrics()
    lifecycle = Lifecycle(settings.max_in_flight, metrics, settings.max_wait_s)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        try:
            key_use = None if settings.key_use_path is None else KeyUse(settings.key_use_path)
            app.state.gate = make_gate(settings, key_use)
            with traces_to(settings.otlp_endpoint), open_audit(settings, lifecycle) as app.state.audit:
                async with saved_from_time_to_time(key_use), open_services(settings, metrics, lifecycle) as services:
                    app.state.services = services
                    get_logger().info("ready", models=[model.manifest.name for model in services.models.all])
                    async with (
                        open_shadow(settings, services) as app.state.shadow,
                        open_pacs(settings, services, app.state.audit) as app.state.analyses,
                    ):
                        with frozen_objects():
                            yield
        except MedPatchNetError as error:
            app.state.failure = error  # uvicorn does not pass on why a startup failed
            raise

    app = FastAPIOffline(
        title="medpatchnet",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
    )
    app.state.lifecycle, app.state.failure, app.state.admin_port = lifecycle, None, None
    app.include_router(router)
    app.include_router(open_inference.router)
    app.include_router(shadow.router)
    app.include_router(studies.router)
    app.include_router(viewer.router)
    install_problems(app, metrics)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestMiddleware, metrics=metrics)
    if settings.cors_origins:  # outermost: a page can read the responses to unexpected errors too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=CORS_REQUEST_HEADERS,
            expose_headers=CORS_RESPONSE_HEADERS,
        )
    return app


@contextmanager
def frozen_objects() -> Generator[None]:
    """Exempt the objects that exist now from garbage collection, since scanning them would delay responses."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def open_audit(settings: Settings, lifecycle: Lifecycle) -> Generator[AuditLog | None]:
    """The audit log, if one is configured; readiness depends on it. Raises ConfigurationError."""
    if settings.audit_file is None:
        yield None
        return
    with closing(AuditLog(settings.audit_file)) as log:
        lifecycle.watch(lambda: log.is_well)
        yield log


@asynccontextmanager
async def saved_from_time_to_time(key_use: KeyUse | None) -> AsyncGenerator[None]:
    """Save the last uses of keys on a thread, off the path of requests, and once more in the end."""
    if key_use is None:
        yield
        return

    async def repeat() -> None:
        while True:
            await asyncio.sleep(_SAVE_KEY_USE_EVERY_S)
            await asyncio.to_thread(key_use.save)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        await cancel(task)
        await asyncio.to_thread(key_use.save)


def make_gate(settings: Settings, key_use: KeyUse | None = None) -> Gate:
    """Authentication of callers; ``key_use`` notes the uses of keys.

    Raises ConfigurationError if other machines could call without credentials.
    """
    if not settings.has_authentication and not is_loopback(settings.host):
        raise ConfigurationError(
            f"listening on {settings.host} needs authentication: set MEDPATCHNET_API_KEYS_FILE or "
            "MEDPATCHNET_OIDC_ISSUER, or listen on 127.0.0.1"
        )
    keys = None
    if settings.api_keys_file is not None:
        keys = KeyFile(settings.api_keys_file, on_use=key_use.note if key_use else lambda _: None)
    tokens = make_verifier(settings) if settings.oidc_issuer else None
    return Gate(keys, tokens, RateLimiter(settings.rate_per_s, settings.rate_burst))


def make_verifier(settings: Settings) -> TokenVerifier:
    """Validation of OIDC tokens. Raises ConfigurationError if a setting is missing or not secure."""
    url = urlsplit(settings.oidc_jwks_url)
    if not settings.oidc_audience or not url.hostname:
        raise ConfigurationError(
            "MEDPATCHNET_OIDC_ISSUER needs MEDPATCHNET_OIDC_AUDIENCE and MEDPATCHNET_OIDC_JWKS_URL"
        )
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname)):
        raise ConfigurationError(
            "MEDPATCHNET_OIDC_JWKS_URL must be https: a party that can replace the keys can sign tokens"
        )
    issuer = Issuer(
        settings.oidc_issuer,
        settings.oidc_audience,
        settings.oidc_jwks_url,
        settings.oidc_scope_claim,
        settings.oidc_leeway_s,
    )
    return TokenVerifier(issuer, JwkSet(issuer.jwks_url))


@asynccontextmanager
async def open_services(settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> AsyncGenerator[Services]:
    """Load and warm up the models and start the workers; on exit, finish accepted work and stop them.

    Raises ArtifactError and ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        limits = DecodeLimits(
            pixels=settings.max_pixels,
            inflated_bytes=settings.max_inflated_bytes,
            chest_body_parts=settings.chest_body_part_texts,
        )
        decoder = start_decoder(settings, limits, stack)
        torch.set_num_threads(settings.inference_threads or min(usable_cores(), torch.get_num_threads()))
        device = choose_device(settings.device)
        models = start_models(load_models(settings, device, metrics), stack)
        predictor = Predictor(decoder, metrics)
        reporter = Reporter(limits, settings.overlay_opacity)
        anatomy = AnatomyReader(segmenter_loader(settings, device, metrics))
        stack.callback(anatomy.close)
        explainer = Explainer(
            predictor,
            anatomy,
            max_passes=settings.max_map_passes,
            max_concurrent=settings.max_concurrent_maps,
            chunk_images=MAP_CHUNK_IMAGES[device],
        )
        connect_gauges(metrics, models, decoder)
        export_reference(metrics, models.get().manifest)
        lifecycle.ready()
        stack.callback(lifecycle.drain)
        services = Services(
            settings,
            metrics,
            lifecycle,
            models,
            decoder,
            predictor,
            explainer,
            Comparer(predictor, anatomy),
            anatomy,
            reporter,
            RecentResults(settings.recent_results),
        )
        metrics.follow(metrics.ready, lambda: float(services.status == "ready"))
        yield services


def start_decoder(settings: Settings, limits: DecodeLimits, stack: AsyncExitStack) -> DecodePool:
    """The decode workers, replaced while they are needed, and stopped by ``stack``."""
    decoder = DecodePool(
        workers=settings.decode_workers,
        timeout_s=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
        limits=limits,
    )
    decoder.start()
    stack.callback(decoder.close)
    stack.push_async_callback(cancel, asyncio.create_task(keep_alive(decoder)))
    return decoder


async def keep_alive(decoder: DecodePool) -> None:
    """Replace decode workers that died while idle, before readiness or the next image is affected."""
    while True:
        await asyncio.sleep(_CHECK_WORKERS_EVERY_S)
        await asyncio.to_thread(decoder.replace_dead)


def connect_gauges(metrics: Metrics, models: ModelRegistry, decoder: DecodePool) -> None:
    """Have the gauges read the live objects at every scrape."""
    metrics.follow(metrics.queue_depth, lambda: sum(model.scheduler.queue_depth for model in models.all))
    metrics.follow(metrics.decode_worker_restarts, lambda: decoder.restarts)
    if any(model.device == "cuda" for model in models.all):
        devices = range(torch.cuda.device_count())
        metrics.follow(metrics.gpu_memory.labels("allocated"), lambda: sum(map(torch.cuda.memory_allocated, devices)))
        metrics.follow(metrics.gpu_memory.labels("reserved"), lambda: sum(map(torch.cuda.memory_reserved, devices)))
