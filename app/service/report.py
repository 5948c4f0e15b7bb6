"""Report: a prediction as DICOM objects of the radiograph's study, or as FHIR resources."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from app import __version__
from app.dicom_objects.attributes import words
from app.dicom_objects.content import Algorithm, Patch, Report, ReportedFinding, ReportKind
from app.dicom_objects.presentation_state import presentation_state
from app.dicom_objects.secondary_capture import secondary_captures
from app.dicom_objects.source_image import read_source
from app.dicom_objects.structured_report import structured_report
from app.errors import InvalidQuery, NoSourceObject
from app.fhir.bundle import Release, bundle
from app.imaging.dicom.file import silence
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDINGS
from app.patchnet.saliency import expand_grid, patch_grid
from app.rendering.overlay import SaliencyLayer
from app.service.results import Prediction

_PATCHES_SHOWN = 3


class Reporter:
    """Turns predictions into DICOM objects and FHIR resources."""

    def __init__(self, limits: DecodeLimits, opacity: float) -> None:
        """``opacity`` of the overlays is from 0 to 1."""
        self._limits = limits
        self._opacity = opacity

    async def report(
        self,
        data: bytes,
        prediction: Prediction,
        kind: ReportKind,
        finding: int | None = None,
        analysed_at: datetime | None = None,
    ) -> list[bytes]:
        """The files of one kind: one for ``sr`` and ``gsps``; for ``sc`` one for each finding, which can be none.

        ``data`` is the file of the prediction. ``finding`` selects one column; without it, ``sc`` and ``gsps`` show the
        positive ones but *No Finding*, strongest first. ``analysed_at`` (aware; default: now) is the time of the
        analysis: with the same time, the files have the same bytes. Raises NoSourceObject if ``data`` is not a DICOM
        object, InvalidQuery for a finding that the model cannot judge.
        """
        moment = analysed_at or datetime.now(UTC)
        return await asyncio.to_thread(self._write, data, prediction, kind, finding, moment)

    async def fhir(
        self, data: bytes, prediction: Prediction, release: Release, analysed_at: datetime | None = None
    ) -> dict[str, Any]:
        """The result as a FHIR transaction, JSON; arguments and errors as for ``report``."""
        return await asyncio.to_thread(self._bundle, data, prediction, release, analysed_at or datetime.now(UTC))

    def _bundle(self, data: bytes, prediction: Prediction, release: Release, analysed_at: datetime) -> dict[str, Any]:
        with silence():
            return bundle(content(read_source(data, self._limits), prediction, analysed_at), release)

    def _write(
        self, data: bytes, prediction: Prediction, kind: ReportKind, finding: int | None, analysed_at: datetime
    ) -> list[bytes]:
        with silence():
            source = read_source(data, self._limits)
            return self._objects(content(source, prediction, analysed_at, finding), prediction, kind, finding)

    def _objects(self, report: Report, prediction: Prediction, kind: ReportKind, finding: int | None) -> list[bytes]:
        if kind == "sr":
            return [structured_report(report)]
        shown = report.positives if finding is None else (report.findings[finding],)
        if any(item.layer is None for item in shown):
            raise InvalidQuery(f"'{shown[0].name}' is untrained in this model; there is no evidence to show")
        if kind == "gsps":
            return [presentation_state(report, shown)]
        radiograph = prediction.radiograph
        return secondary_captures(report, radiograph.pixels, shown, self._opacity, radiograph.facts.transfer_syntax)


def content(source: Dataset, prediction: Prediction, analysed_at: datetime, asked: int | None = None) -> Report:
    """The content of the objects; positive findings and the requested one have patches."""
    manifest, geometry = prediction.model.manifest, prediction.geometry
    rows, columns = (_size(source, name) for name in ("Rows", "Columns"))
    stretch = rows / geometry.rows, columns / geometry.columns
    findings = tuple(
        ReportedFinding(
            name=score.name,
            code=FINDINGS[column].code,
            status=score.status,
            probability=score.probability,
            threshold=score.threshold,
            positive=score.positive,
            operating_point=score.operating_point,
            contradicted_by=score.contradicted_by,
            layer=None if score.probability is None else _layer(prediction, column),
            patches=_strongest(prediction, column, stretch) if score.positive or column == asked else (),
        )
        for column, score in enumerate(prediction.scores)
    )
    return Report(
        source=source,
        rows=rows,
        columns=columns,
        algorithm=Algorithm(manifest.name, manifest.version, manifest.weights_sha256, __version__),
        findings=findings,
        warnings=tuple(warning.detail for warning in prediction.warnings),
        limit=manifest.display_limit,
        analysed_at=analysed_at,
    )


def _size(source: Dataset, keyword: str) -> int:
    """Rows or columns of the stored image. Raises NoSourceObject where they cannot be read."""
    value = words(source, keyword)[:1].tolist()
    if not value or value[0] == 0:
        raise NoSourceObject(f"a report needs the size of the image; {keyword} cannot be read")
    return int(value[0])


def _layer(prediction: Prediction, column: int) -> SaliencyLayer:
    grid = patch_grid(prediction.patch_logits[None])[0, column]
    geometry = prediction.geometry
    values: np.ndarray[tuple[int, int], np.dtype[np.float32]] = expand_grid(
        grid, prediction.model.manifest.patch_size
    ).numpy()
    return SaliencyLayer(values, geometry.row, geometry.column, geometry.size)


def _strongest(prediction: Prediction, column: int, stretch: tuple[float, float]) -> tuple[Patch, ...]:
    """The patches with the most evidence for a finding, strongest first; never those with evidence against it.

    ``stretch`` is the number of stored rows and columns for each row and column of the decoded radiograph, whose pixels
    are square.
    """
    geometry, manifest = prediction.geometry, prediction.model.manifest
    side, patch_size = manifest.patches_per_side, manifest.patch_size
    size = patch_size * geometry.scale
    logits = prediction.patch_logits[:, column]
    patches: list[Patch] = []
    for index in logits.argsort(descending=True)[:_PATCHES_SHOWN].tolist():
        row, start = geometry.to_source(index // side * patch_size, index % side * patch_size)
        logit = float(logits[index])
        if logit > 0:
            patches.append(Patch(row * stretch[0], start * stretch[1], size * stretch[0], size * stretch[1], logit))
    return tuple(patches)
