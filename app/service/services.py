"""The use cases of one process, built by the composition root, for HTTP and the command line."""

from dataclasses import dataclass
from typing import Literal

from app.decoding.pool import DecodePool
from app.service.admission import Lifecycle, Phase
from app.service.anatomy.reader import AnatomyReader
from app.service.comparison.comparer import Comparer
from app.service.explain import Explainer
from app.service.models import ModelRegistry
from app.service.predict import Predictor
from app.service.recent import RecentResults
from app.service.report import Reporter
from app.settings import Settings
from app.telemetry import Metrics

Status = Literal["starting", "ready", "draining", "failed"]


@dataclass(frozen=True)
class Services:
    """The use cases and their dependencies."""

    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle
    models: ModelRegistry
    decoder: DecodePool
    predictor: Predictor
    explainer: Explainer
    comparer: Comparer
    anatomy: AnatomyReader
    reporter: Reporter
    recent: RecentResults

    @property
    def status(self) -> Status:
        """The phase, or ``failed`` if a component that should run does not."""
        if self.lifecycle.phase is not Phase.READY:
            return self.lifecycle.phase.value
        runs = (
            self.lifecycle.is_well
            and self.decoder.live_workers > 0
            and all(model.scheduler.is_alive and not model.scheduler.is_failing for model in self.models.all)
        )
        return "ready" if runs else "failed"
