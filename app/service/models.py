"""The artifacts one process serves, by name."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import ConfigurationError, UnknownModel
from app.inference.engine import Precision
from app.inference.scheduler import Scheduler
from app.patchnet.artifact import Manifest


@dataclass(frozen=True)
class ServedModel:
    """A loaded artifact: what its manifest says, and the scheduler in front of its network."""

    manifest: Manifest
    scheduler: Scheduler
    card: str

    @property
    def device(self) -> str:
        """Where the network runs."""
        return self.scheduler.engine.device

    @property
    def precision(self) -> Precision:
        """Arithmetic of the network."""
        return self.scheduler.engine.precision


class ModelRegistry:
    """All served models; the first is the default."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        """Raises ConfigurationError where two models have one name."""
        self._models: dict[str, ServedModel] = {}
        for model in models:
            if self._models.setdefault(model.manifest.name, model) is not model:
                raise ConfigurationError(f"two of the models are named '{model.manifest.name}'")

    @property
    def all(self) -> list[ServedModel]:
        """Every served model, the default first."""
        return list(self._models.values())

    def get(self, name: str | None = None) -> ServedModel:
        """The model of that name, or the default for None. Raises UnknownModel, listing the names."""
        if name is None:
            return next(iter(self._models.values()))
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(f"no such model; served are: {', '.join(self._models)}")
        return model
