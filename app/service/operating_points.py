"""Operating points: which threshold is in force for each finding of a model, and who chose it.

Each of these takes precedence over the ones before it: the default of the manifest, the setting
``MEDPATCHNET_OPERATING_POINT``, the entry of a finding in the site's file, and the parameter ``operating_point`` of a
request. A name applies to the findings that have a point of this name; the others keep theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from app.errors import ConfigurationError, InvalidQuery, UnknownFinding
from app.patchnet.findings import FINDING_NAMES, finding_index
from app.patchnet.manifest import FindingRecord, Manifest, OperatingPoint, OperatingPointName
from app.validation import StrictModel, describe
from app.yaml_files import read_yaml

Origin = Literal["manifest", "setting", "site_file", "request"]


class SitePoint(StrictModel):
    """A threshold of the site's own."""

    threshold: Annotated[float, Field(gt=0, lt=1)]
    name: OperatingPointName = "site"


SitePoints = Mapping[str, SitePoint | str]
"""By finding: the name of one of its operating points, or a threshold of the site's own."""

_SITE_FILE = TypeAdapter(dict[str, SitePoint | OperatingPointName])


@dataclass(frozen=True)
class PointInForce:
    """The operating point of one finding. ``decides``: whether ``positive`` is computed with it."""

    name: str
    threshold: float
    origin: Origin
    decides: bool


@dataclass(frozen=True)
class OperatingPoints:
    """The operating points of one model.

    ``available``: all points by finding and name, with the site's own. ``in_force``: the point by finding; findings
    without one have no entry.
    """

    available: Mapping[str, Mapping[str, OperatingPoint]]
    in_force: Mapping[str, PointInForce]
    configured: frozenset[str] = field(default_factory=frozenset[str])

    @property
    def names(self) -> list[str]:
        """The names of all points, without repeats."""
        return list(dict.fromkeys(name for points in self.available.values() for name in points))

    def at(self, name: str | None) -> "OperatingPoints":
        """With the points of this name in force; None changes nothing. Raises InvalidQuery, listing the names."""
        if name is None:
            return self
        if name not in self.names:
            raise InvalidQuery(f"unknown operating point; the model has: {', '.join(self.names) or 'none'}")
        return OperatingPoints(self.available, {**self.in_force, **self.named(name, "request")}, self.configured)

    def named(self, name: str, origin: Origin) -> dict[str, PointInForce]:
        """The points of this name, by finding; findings without one are left out."""
        return {
            finding: PointInForce(name, points[name].threshold, origin, finding in self.configured)
            for finding, points in self.available.items()
            if name in points
        }


def operating_points(manifest: Manifest, setting: str = "", site: SitePoints | None = None) -> OperatingPoints:
    """The operating points of a model, with those in force.

    ``setting`` is a name for all findings, or empty. ``site`` is the content of the site's file. Only validated
    findings and those in the site's file decide. Raises ConfigurationError for a name that does not exist.
    """
    site = site or {}
    records = {record.name: record for record in manifest.findings}
    available = {name: _with_own(record, site.get(name)) for name, record in records.items()}
    validated = (name for name, record in records.items() if record.status == "validated")
    points = OperatingPoints(available, {}, frozenset(validated) | site.keys())
    in_force = points.named(manifest.default_operating_point, "manifest")
    if setting:
        if setting not in points.names:
            raise ConfigurationError(
                f"MEDPATCHNET_OPERATING_POINT: the model '{manifest.name}' has no operating point '{setting}'; "
                f"it has: {', '.join(points.names) or 'none'}"
            )
        in_force |= points.named(setting, "setting")
    for finding, entry in site.items():
        name = entry if isinstance(entry, str) else entry.name
        _require(manifest, records[finding], name, available[finding])
        in_force[finding] = PointInForce(name, available[finding][name].threshold, "site_file", True)
    return OperatingPoints(available, in_force, points.configured)


def read_site_points(path: Path) -> SitePoints:
    """The site's file: YAML, by finding the name of an operating point, or a threshold with an optional name.

    Raises ConfigurationError with a line for every problem.
    """
    try:
        entries = _SITE_FILE.validate_python(read_yaml(path))
        found = {FINDING_NAMES[finding_index(name)]: entry for name, entry in entries.items()}
    except ValidationError as error:
        raise ConfigurationError("\n".join([f"{path} cannot be used:", *describe(error)])) from None
    except UnknownFinding as error:
        raise ConfigurationError(f"{path}: {error.detail}") from None
    if len(found) != len(entries):
        raise ConfigurationError(f"{path}: a finding has two entries")
    return found


def _with_own(record: FindingRecord, entry: SitePoint | str | None) -> dict[str, OperatingPoint]:
    points = dict(record.operating_points)
    if isinstance(entry, SitePoint) and record.status != "untrained":
        points[entry.name] = OperatingPoint(threshold=entry.threshold)
    return points


def _require(manifest: Manifest, record: FindingRecord, name: str, points: Mapping[str, OperatingPoint]) -> None:
    place = f"MEDPATCHNET_OPERATING_POINTS_FILE: {record.name}"
    if record.status == "untrained":
        raise ConfigurationError(f"{place}: the model '{manifest.name}' is not trained on this finding")
    if name not in points:
        choices = ", ".join(points) or "none"
        raise ConfigurationError(
            f"{place}: the model '{manifest.name}' has no operating point '{name}' for it; it has: {choices}"
        )
