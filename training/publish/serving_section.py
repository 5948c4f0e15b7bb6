"""The section of the model card about the accuracy cost of reduced precision and strided maps."""

from app.patchnet.manifest import Description, PrecisionRecord, StrideRecord
from training.publish.markdown import markdown_table, with_marked

SECTION = "serving"

_TEXT = """\
## Accuracy cost of reduced precision and strided maps

{strides}

{precisions}
"""
_STRIDES = """\
Maps with a stride against the map of offset 1: correlation over {maps} maps of {films} radiographs ({dataset}), in the
central {window} px.

{table}"""
_PRECISIONS = """\
Reduced precision against float32 on {films} radiographs ({dataset}). The service calculates in float32 by default,
and rejects a precision that is not allowed.

{table}"""
_NO_STRIDES = "Maps with a stride: not measured."
_NO_PRECISIONS = "Reduced precision: not measured, so the service rejects it."


def with_serving(card: str, manifest: Description) -> str:
    """A card with the section, which replaces an earlier one."""
    section = _TEXT.format(strides=_strides(manifest.strides), precisions=_precisions(manifest.precisions))
    return with_marked(card, SECTION, section)


def _strides(records: tuple[StrideRecord, ...]) -> str:
    if not records:
        return _NO_STRIDES
    rows = [("stride", "fewer passes", "median r", "5th percentile of r", "least r")]
    rows += [
        (
            str(record.stride),
            f"{record.fewer_passes:.0f} ×",
            f"{record.median_correlation:.4f}",
            f"{record.low_correlation:.4f}",
            f"{record.least_correlation:.4f}",
        )
        for record in records
    ]
    facts = records[0].model_dump(include={"maps", "films", "dataset", "window"})
    return _STRIDES.format(**facts, table=markdown_table(rows))


def _precisions(records: tuple[PrecisionRecord, ...]) -> str:
    if not records:
        return _NO_PRECISIONS
    rows = [("precision", "mean AUROC", "change", "largest change of an AUROC", "of a probability", "allowed")]
    rows += [
        (
            record.precision,
            f"{record.mean_auroc:.4f}",
            f"{record.mean_auroc_change:+.4f}",
            f"{record.largest_auroc_change:.4f}",
            f"{record.largest_probability_change:.4f}",
            "yes" if record.allowed else "no",
        )
        for record in records
    ]
    return _PRECISIONS.format(films=records[0].films, dataset=records[0].dataset, table=markdown_table(rows))
