"""The radiology network's part of the composition root: the store, the nodes, the loops, the listener."""

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

_LONGEST_STEP_S = 0.8 * LEASE_S
_DEFAULT_AE_TITLE = "MEDPATCHNET"


@dataclass(frozen=True)
class Nodes:
    """The nodes by name, in the roles they can have."""

    sources: Mapping[str, Source]
    targets: Mapping[str, Target]


@asynccontextmanager
async def open_network(
    settings: Settings, services: Services, audit: AuditLog | None
) -> AsyncGenerator[Analyses | None]:
    """Everything that moves films and results, where a network is configured; on leaving, finish what is being done.

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
        services.lifecycle.watch(lambda: store.database.is_well)
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
    """A client for every node; ``stack`` closes them."""
    sources: dict[str, Source] = {}
    targets: dict[str, Target] = {}
    calling = config.listener.ae_title if config.listener else _DEFAULT_AE_TITLE
    for name, node in config.nodes.items():
        if isinstance(node, DicomWebNode):
            client = await stack.enter_async_context(DicomWebClient(node, settings.max_body_bytes))
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
    """What the pipeline does over and over."""
    analyst = InstanceAnalyzer(
        services.models,
        services.predictor,
        services.reporter,
        services.metrics,
        config.routes,
        DecodeLimits(pixels=settings.max_pixels, inflated_bytes=settings.max_inflated_bytes),
        settings.request_timeout_s,
    )
    studies = StudyWorker(store.jobs, nodes.sources, _LONGEST_STEP_S)
    films = InstanceWorker(
        store.inbox, nodes.sources, frozenset(nodes.targets), analyst, metrics, audit, _LONGEST_STEP_S
    )
    couriers = [
        DeliveryWorker(name, store.outbox, target, make_retry_policy(settings), metrics, _LONGEST_STEP_S)
        for name, target in nodes.targets.items()
    ]
    return [studies.step, *[films.step] * settings.pacs_workers, *(courier.step for courier in couriers)]
