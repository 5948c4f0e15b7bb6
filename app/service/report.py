"""Report: a prediction as DICOM objects of the radiograph's study."""

import asyncio

import numpy as np
from pydicom.dataset import Dataset

from app import __version__
from app.dicom_objects.content import Algorithm, Patch, Report, ReportedFinding, ReportKind
from app.dicom_objects.presentation_state import presentation_state
from app.dicom_objects.secondary_capture import secondary_captures
from app.dicom_objects.source_image import read_source
from app.dicom_objects.structured_report import structured_report
from app.errors import InvalidQuery
from app.imaging.dicom_file import silence
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDINGS
from app.patchnet.saliency import expand_grid, patch_grid
from app.rendering.overlay import SaliencyLayer
from app.service.results import Prediction

_PATCHES_SHOWN = 3


class Reporter:
    """Turns predictions into DICOM objects."""

    def __init__(self, limits: DecodeLimits, opacity: float) -> None:
        """``opacity`` of the overlays is from 0 to 1."""
        self._limits = limits
        self._opacity = opacity

    async def report(
        self, data: bytes, prediction: Prediction, kind: ReportKind, finding: int | None = None
    ) -> list[bytes]:
        """The files of one kind: one for ``sr`` and ``gsps``; for ``sc`` one for each finding, which can be none.

        ``data`` is the file of the prediction. ``finding`` selects one column; without it, ``sc`` and ``gsps`` show the
        positive ones. Raises NoSourceObject if ``data`` is not a DICOM object, InvalidQuery for a finding that the
        model cannot judge.
        """
        return await asyncio.to_thread(self._write, data, prediction, kind, finding)

    def _write(self, data: bytes, prediction: Prediction, kind: ReportKind, finding: int | None) -> list[bytes]:
        with silence():
            return self._objects(
                content(read_source(data, self._limits), prediction, finding), prediction, kind, finding
            )

    def _objects(self, report: Report, prediction: Prediction, kind: ReportKind, finding: int | None) -> list[bytes]:
        if kind == "sr":
            return [structured_report(report)]
        name = None if finding is None else FINDINGS[finding].name
        shown = report.positives if name is None else tuple(item for item in report.findings if item.name == name)
        if name is not None and not shown:
            raise InvalidQuery(f"'{name}' is untrained in this model; there is no evidence to show")
        if kind == "gsps":
            return [presentation_state(report, shown)]
        return secondary_captures(report, prediction.radiograph.pixels, shown, self._opacity)


def content(source: Dataset, prediction: Prediction, asked: int | None = None) -> Report:
    """The content of the objects; positive findings and the requested one have patches."""
    manifest = prediction.model.manifest
    findings: list[ReportedFinding] = []
    for column, score in enumerate(prediction.scores):
        if score.probability is None:
            continue
        shown = bool(score.positive) or column == asked
        findings.append(
            ReportedFinding(
                name=score.name,
                code=FINDINGS[column].code,
                probability=score.probability,
                threshold=score.threshold,
                positive=score.positive,
                layer=_layer(prediction, column),
                patches=_strongest(prediction, column) if shown else (),
            )
        )
    return Report(
        source=source,
        algorithm=Algorithm(manifest.name, manifest.version, manifest.weights_sha256, __version__),
        findings=tuple(findings),
        unscored=tuple(score.name for score in prediction.scores if score.probability is None),
        warnings=tuple(warning.detail for warning in prediction.warnings),
        limit=manifest.display_limit,
    )


def _layer(prediction: Prediction, column: int) -> SaliencyLayer:
    grid = patch_grid(prediction.patch_logits[None])[0, column]
    geometry = prediction.geometry
    values: np.ndarray[tuple[int, int], np.dtype[np.float32]] = expand_grid(
        grid, prediction.model.manifest.patch_size
    ).numpy()
    return SaliencyLayer(values, geometry.row, geometry.column, geometry.size)


def _strongest(prediction: Prediction, column: int) -> tuple[Patch, ...]:
    """The patches with the most evidence for a finding, strongest first; never those with evidence against it."""
    geometry, manifest = prediction.geometry, prediction.model.manifest
    side, patch_size = manifest.patches_per_side, manifest.patch_size
    logits = prediction.patch_logits[:, column]
    order = logits.argsort(descending=True)[:_PATCHES_SHOWN].tolist()
    return tuple(
        Patch(
            *geometry.to_source(index // side * patch_size, index % side * patch_size),
            size=patch_size * geometry.scale,
            logit=float(logits[index]),
        )
        for index in order
        if float(logits[index]) > 0
    )
