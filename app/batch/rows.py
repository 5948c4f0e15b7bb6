"""The rows of the data set: one for each film, with its result or the reason why there is none."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from app.anatomy.zones import ZONES
from app.errors import MedPatchNetError
from app.patchnet.findings import FINDING_NAMES
from app.predictor import PredictedImage

Row = Mapping[str, Any]

_IDENTIFIERS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
_FACTS = ("modality", "body_part", "view", "photometric_interpretation")
_CROP = ("row", "column", "size")
_BY_ZONE = pa.list_(pa.float32(), len(ZONES))


@dataclass(frozen=True)
class FilmKey:
    """What identifies a row: hash of the location, size and version of the input, and SHA-256 of its content."""

    input_hash: str
    location: str
    size: int
    version: str
    sha256: str | None


def column_of(finding: str) -> str:
    """The name of a finding in names of columns: ``pleural_effusion``."""
    return finding.lower().replace(" ", "_")


def make_schema(patches: int, *, identifiers: bool, zones: bool = False) -> pa.Schema:
    """The columns of the data set. ``patches`` is P², the length of the patch logits of a finding, row by row."""
    grid = pa.list_(pa.float32(), patches)
    warning = pa.struct([("code", pa.string()), ("detail", pa.string())])
    fields: list[tuple[str, pa.DataType]] = [
        ("input_hash", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("sha256", pa.string()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
        ("error", pa.string()),
        ("error_detail", pa.string()),
        ("model", pa.string()),
        ("weights_sha256", pa.string()),
        ("format", pa.string()),
        ("rows", pa.int32()),
        ("columns", pa.int32()),
        *((f"crop_{name}", pa.int32()) for name in _CROP),
        *((name, pa.string()) for name in _FACTS),
        ("warnings", pa.list_(warning)),
    ]
    if identifiers:
        fields += [("location", pa.string()), *((name, pa.string()) for name in _IDENTIFIERS)]
    if zones:
        fields += [
            ("zones_trusted", pa.bool_()),
            ("zones_reasons", pa.list_(pa.string())),
            ("cardiothoracic_ratio", pa.float32()),
        ]
    for finding in map(column_of, FINDING_NAMES):
        if zones:
            fields += [(f"zone_evidence_{finding}", _BY_ZONE), (f"zone_share_{finding}", _BY_ZONE)]
        fields += [
            (f"probability_{finding}", pa.float32()),
            (f"positive_{finding}", pa.bool_()),
            (f"operating_point_{finding}", pa.string()),
            (f"patch_logits_{finding}", grid),
        ]
    return pa.schema(fields)


def row_of(key: FilmKey, result: PredictedImage | MedPatchNetError, model: Mapping[str, str]) -> Row:
    """The row of a film; a column that it lacks is null. ``model`` has the columns that name the model."""
    row: dict[str, Any] = {
        "input_hash": key.input_hash,
        "location": key.location,
        "size": key.size,
        "version": key.version,
        "sha256": key.sha256,
        "scored_at": datetime.now(UTC),
        **model,
    }
    if isinstance(result, MedPatchNetError):
        return row | {"error": result.code, "error_detail": result.detail}
    image = result.body.image
    row |= {name: getattr(image, name) for name in ("format", "rows", "columns", *_FACTS, *_IDENTIFIERS)}
    row |= {f"crop_{name}": getattr(image.crop, name) for name in _CROP}
    row["warnings"] = [{"code": warning.code, "detail": warning.detail} for warning in result.warnings]
    for index, score in enumerate(result.findings):
        finding, trained = column_of(score.name), score.logit is not None
        row[f"probability_{finding}"] = score.probability
        row[f"positive_{finding}"] = score.positive
        row[f"operating_point_{finding}"] = score.operating_point
        row[f"patch_logits_{finding}"] = result.evidence[index].ravel() if trained else None
    return {**row, **_zones_of(result)}


def _zones_of(result: PredictedImage) -> Row:
    """The columns of zones; empty where they were not requested."""
    if result.anatomy is None:
        return {}
    heart = result.anatomy.heart
    row: dict[str, Any] = {
        "zones_trusted": result.anatomy.is_trusted,
        "zones_reasons": [reason.code for reason in result.anatomy.reasons],
        "cardiothoracic_ratio": None if heart is None else heart.ratio,
    }
    for name, sums in result.zones.items():
        shares = [zone.share_for for zone in sums.zones]
        row[f"zone_evidence_{column_of(name)}"] = [zone.evidence for zone in sums.zones]
        row[f"zone_share_{column_of(name)}"] = None if None in shares else shares
    return row


def table_of(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """The rows as a table; what the schema has no column for, such as identifiers, is left out."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
