"""The models of one process, by name."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.errors import ConfigurationError, UnknownModel
from app.inference.engine import Precision
from app.inference.scheduler import Scheduler
from app.patchnet.manifest import Manifest
from app.service.operating_points import OperatingPoints


@dataclass(frozen=True)
class ServedModel:
    """A loaded model: its manifest, its scheduler, its operating points and its model card."""

    manifest: Manifest
    scheduler: Scheduler
    points: OperatingPoints
    card: str

    def at(self, operating_point: str | None) -> "ServedModel":
        """This model at an operating point; None: the points in force. Raises InvalidQuery, listing the names."""
        return self if operating_point is None else replace(self, points=self.points.at(operating_point))

    @property
    def device(self) -> str:
        """Device that the model runs on."""
        return self.scheduler.engine.device

    @property
    def precision(self) -> Precision:
        """Arithmetic of the model."""
        return self.scheduler.engine.precision


class ModelRegistry:
    """All served models; the first is the default."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        """Raises ConfigurationError if two models have the same name."""
        self._models: dict[str, ServedModel] = {}
        for model in models:
            if self._models.setdefault(model.manifest.name, model) is not model:
                raise ConfigurationError(f"two models are named '{model.manifest.name}'")

    @property
    def all(self) -> list[ServedModel]:
        """Every served model, the default first."""
        return list(self._models.values())

    def get(self, name: str | None = None) -> ServedModel:
        """The model with that name; None: the default. Raises UnknownModel, listing the names."""
        if name is None:
            return next(iter(self._models.values()))
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(f"unknown model; served are: {', '.join(self._models)}")
        return model

    def version(self, name: str, version: str | None) -> ServedModel:
        """The model with that name and version; None: any. Raises UnknownModel."""
        model = self.get(name)
        if version not in {None, model.manifest.version}:
            raise UnknownModel(f"unknown version; served is: {model.manifest.version}")
        return model
