"""The PACS part of the composition root: store, nodes, background pipeline, listener."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.audit import AuditLog
from app.imaging.radiograph import DecodeLimits
from app.pacs.configuration import PacsConfig, load, require_files
from app.pacs.nodes import DicomWebNode
from app.pacs.store.store import LEASE_S, Store, make_retry_policy, make_store
from app.pacs.transport.dicomweb import DicomWebClient
from app.pacs.transport.dimse import DimseClient
from app.pacs.transport.listener import StorageListener
from app.pacs.transport.protocols import Source, Target
from app.pacs.work.analyses import Analyses
from app.pacs.work.delivery_worker import DeliveryWorker
from app.pacs.work.instance_analysis import InstanceAnalyzer
from app.pacs.work.instance_worker import InstanceWorker
from app.pacs.work.pipeline import Pipeline, Step
from app.pacs.work.study_worker import StudyWorker
from app.service.admission import Phase
from app.service.services import Services
from app.settings import Settings
from app.telemetry import PacsMetrics, get_logger

_STEP_TIMEOUT_S = 0.8 * LEASE_S
_DEFAULT_AE_TITLE = "MEDPATCHNET"


@dataclass(frozen=True)
class Nodes:
    """Clients of the nodes by name, in their roles."""

    sources: Mapping[str, Source]
    targets: Mapping[str, Target]


@asynccontextmanager
async def open_pacs(settings: Settings, services: Services, audit: AuditLog | None) -> AsyncGenerator[Analyses | None]:
    """Run pipeline and listener if a PACS is configured, else yield None; on leaving, finish current work.

    Raises ConfigurationError.
    """
    if settings.pacs_file is None:
        yield None
        return
    config = load(settings.pacs_file, [model.manifest.name for model in services.models.all])
    require_files(config)
    metrics, store = PacsMetrics(services.metrics), make_store(settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(store.open())
        services.lifecycle.watch(lambda: store.database.is_healthy)
        nodes = await open_nodes(config, settings, stack)
        steps = make_steps(settings, services, config, store, nodes, metrics, audit)
        pipeline = Pipeline(store, steps, metrics, settings.retention_s)
        pipeline.start()
        stack.push_async_callback(pipeline.stop, settings.drain_timeout_s)
        if config.listener is not None:
            listener = StorageListener(
                config.listener,
                store.inbox.accept,
                pipeline.wake,
                lambda: services.lifecycle.phase is Phase.DRAINING,
                metrics,
            )
            listener.start()
            stack.callback(listener.stop)
            get_logger().info("listening_for_associations", port=listener.port)
        yield Analyses(store.jobs, nodes.sources, nodes.targets, services.models, pipeline.wake)


async def open_nodes(config: PacsConfig, settings: Settings, stack: AsyncExitStack) -> Nodes:
    """Create a client for every node; ``stack`` closes them."""
    sources: dict[str, Source] = {}
    targets: dict[str, Target] = {}
    calling = config.listener.ae_title if config.listener else _DEFAULT_AE_TITLE
    for name, node in config.nodes.items():
        if isinstance(node, DicomWebNode):
            client = DicomWebClient(node, settings.max_body_bytes, settings.chest_body_part_texts)
            await stack.enter_async_context(client)
            sources[name] = targets[name] = client
        else:
            targets[name] = DimseClient(node, calling)
    return Nodes(sources, targets)


def make_steps(
    settings: Settings,
    services: Services,
    config: PacsConfig,
    store: Store,
    nodes: Nodes,
    metrics: PacsMetrics,
    audit: AuditLog | None,
) -> list[Step]:
    """The steps that the pipeline repeats."""
    analyzer = InstanceAnalyzer(
        services.models,
        services.predictor,
        services.anatomy,
        services.reporter,
        services.metrics,
        config.routes,
        DecodeLimits(pixels=settings.max_pixels, inflated_bytes=settings.max_inflated_bytes),
        settings.request_timeout_s,
    )
    study_worker = StudyWorker(store.jobs, nodes.sources, metrics, _STEP_TIMEOUT_S)
    instance_worker = InstanceWorker(
        store.inbox, nodes.sources, frozenset(nodes.targets), analyzer, metrics, audit, _STEP_TIMEOUT_S
    )
    delivery_workers = [
        DeliveryWorker(name, store.outbox, target, make_retry_policy(settings), metrics, _STEP_TIMEOUT_S)
        for name, target in nodes.targets.items()
    ]
    return [
        study_worker.step,
        *[instance_worker.step] * settings.pacs_workers,
        *(worker.step for worker in delivery_workers),
    ]
