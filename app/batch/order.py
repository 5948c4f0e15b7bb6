"""What a run is asked to do, and what its workers need for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.anatomy.artifact import find, read_manifest
from app.anatomy.zones import ZONES
from app.batch.scoring import Job
from app.errors import ConfigurationError
from app.patchnet import artifact
from app.patchnet.manifest import Manifest
from app.service.operating_points import operating_points, read_site_points
from app.settings import Settings


@dataclass(frozen=True)
class Order:
    """What to score, and where to write the results. ``address`` is a Ray cluster; None: a local Ray."""

    sources: Sequence[str]
    out: str
    operating_point: str | None = None
    identifiers: bool = False
    address: str | None = None
    zones: bool = False


def prepare(order: Order, settings: Settings, out: str) -> tuple[Job, dict[str, Any]]:
    """What the workers need, and what the data set states about itself."""
    if len(settings.model_names) != 1:
        raise ConfigurationError("a run uses one model; choose it with --model or MEDPATCHNET_MODEL")
    site_file = settings.operating_points_file
    paths = {
        "model": str(artifact.find(settings.model_names[0], settings.models_dir).resolve()),
        "models_dir": settings.models_dir.resolve(),
        "operating_points_file": site_file and site_file.resolve(),
    }
    manifest = artifact.read(Path(str(paths["model"]))).manifest
    about_zones: dict[str, Any] = {}
    if order.zones:  # a data set without zones states nothing about them, as before there were any
        segmenter = _segmenter(settings)
        paths["segmenter"] = str(segmenter.resolve())
        about_zones = {"zones": ZONES, "segmenter_sha256": read_manifest(segmenter).weights_sha256}
    model = {"model": manifest.name, "weights_sha256": manifest.weights_sha256}
    job = Job(
        settings={**settings.model_dump(exclude={"database_url"}), **paths},
        out=out,
        operating_point=order.operating_point,
        patches=manifest.patches_per_side**2,
        identifiers=order.identifiers,
        zones=order.zones,
        model=model,
    )
    about = {
        **model,
        "version": manifest.version,
        "patches_per_side": manifest.patches_per_side,
        "operating_points": _points(order, settings, manifest),
        "identifiers": order.identifiers,
        **about_zones,
    }
    return job, about


def _segmenter(settings: Settings) -> Path:
    found = find(settings.segmenter, settings.models_dir)
    if found is None:
        raise ConfigurationError("--zones needs a segmenter; none is installed in the models folder")
    return found


def _points(order: Order, settings: Settings, manifest: Manifest) -> dict[str, dict[str, Any]]:
    site = None if settings.operating_points_file is None else read_site_points(settings.operating_points_file)
    points = operating_points(manifest, settings.operating_point, site)
    if order.operating_point is not None:
        points = points.at(order.operating_point)
    return {
        finding: {"name": point.name, "threshold": point.threshold, "decides": point.decides}
        for finding, point in points.in_force.items()
    }
