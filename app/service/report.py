"""Report: a prediction as DICOM objects of the radiograph's study, or as FHIR resources."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from app import __version__
from app.anatomy.artifact import SegmenterManifest
from app.anatomy.placement import placed
from app.dicom_objects.attributes import words
from app.dicom_objects.content import Algorithm, Patch, Report, ReportedFinding, ReportKind
from app.dicom_objects.presentation_state import presentation_state
from app.dicom_objects.secondary_capture import secondary_captures
from app.dicom_objects.segmentation import segmentation
from app.dicom_objects.source_image import read_source
from app.dicom_objects.structured_report import structured_report
from app.errors import InvalidQuery, NoSourceObject, ObjectNotPossible
from app.fhir.bundle import Release, bundle
from app.imaging.dicom.file import silence
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDINGS
from app.patchnet.manifest import Manifest
from app.patchnet.saliency import expand_grid, patch_grid
from app.rendering.overlay import SaliencyLayer
from app.service.anatomy.reader import Anatomy, PendingAnatomy
from app.service.anatomy.sites import site_warnings, sites_of
from app.service.results import Prediction

_PATCHES_SHOWN = 3


@dataclass(frozen=True)
class AnalysedFilm:
    """A file and its prediction; ``anatomy`` is read for the objects that need it alone."""

    data: bytes
    prediction: Prediction
    anatomy: PendingAnatomy


class Reporter:
    """Turns predictions into DICOM objects and FHIR resources."""

    def __init__(self, limits: DecodeLimits, opacity: float) -> None:
        """``opacity`` of the overlays is from 0 to 1."""
        self._limits = limits
        self._opacity = opacity

    async def report(
        self,
        film: AnalysedFilm,
        kind: ReportKind,
        finding: int | None = None,
        analysed_at: datetime | None = None,
        *,
        zones: bool = False,
    ) -> list[bytes]:
        """The files of one kind: one for ``sr``, ``gsps`` and ``seg``; for ``sc`` one for each finding, maybe none.

        ``finding`` selects one column; without it, ``sc`` and ``gsps`` show the positive ones but *No Finding*,
        strongest first. ``analysed_at`` (aware; default: now) is the time of the analysis: with the same time, the
        files have the same bytes. ``zones``: ``sr`` states in which zone of the chest the evidence lies.

        Raises NoSourceObject if the file is not a DICOM object, InvalidQuery for a finding that the model cannot judge;
        for ``seg`` and zones the errors of ``AnatomyReader.read``, and ObjectNotPossible for a ``seg`` of masks that
        cannot be trusted.
        """
        moment = analysed_at or datetime.now(UTC)
        anatomy = await film.anatomy.get() if kind == "seg" or (kind == "sr" and zones) else None
        return await asyncio.to_thread(self._write, film, kind, finding, moment, anatomy)

    async def fhir(
        self, data: bytes, prediction: Prediction, release: Release, analysed_at: datetime | None = None
    ) -> dict[str, Any]:
        """The result as a FHIR transaction, JSON; arguments and errors as for ``report``."""
        return await asyncio.to_thread(self._bundle, data, prediction, release, analysed_at or datetime.now(UTC))

    def _bundle(self, data: bytes, prediction: Prediction, release: Release, analysed_at: datetime) -> dict[str, Any]:
        with silence():
            return bundle(content(read_source(data, self._limits), prediction, analysed_at), release)

    def _write(
        self,
        film: AnalysedFilm,
        kind: ReportKind,
        finding: int | None,
        analysed_at: datetime,
        anatomy: Anatomy | None,
    ) -> list[bytes]:
        with silence():
            source = read_source(film.data, self._limits)
            report = content(source, film.prediction, analysed_at, finding, anatomy if kind == "sr" else None)
            if anatomy is not None and kind == "seg":
                return [_segmentation(report, film.prediction, anatomy)]
            return self._objects(report, film.prediction, kind, finding)

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


def content(
    source: Dataset,
    prediction: Prediction,
    analysed_at: datetime,
    asked: int | None = None,
    anatomy: Anatomy | None = None,
) -> Report:
    """The content of the objects; positive findings and the requested one have patches.

    With an ``anatomy`` that can be trusted, positive findings have sites.
    """
    manifest, geometry = prediction.model.manifest, prediction.geometry
    rows, columns = (_size(source, name) for name in ("Rows", "Columns"))
    stretch = rows / geometry.rows, columns / geometry.columns
    sites = {} if anatomy is None else sites_of(prediction, anatomy)
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
            site=sites.get(column),
        )
        for column, score in enumerate(prediction.scores)
    )
    return Report(
        source=source,
        rows=rows,
        columns=columns,
        algorithm=_algorithm(manifest),
        findings=findings,
        warnings=(*(warning.detail for warning in prediction.warnings), *site_warnings(findings, anatomy)),
        limit=manifest.display_limit,
        analysed_at=analysed_at,
        segmenter=None if anatomy is None else _algorithm(anatomy.segmenter),
    )


def _algorithm(manifest: Manifest | SegmenterManifest) -> Algorithm:
    return Algorithm(manifest.name, manifest.version, manifest.weights_sha256, __version__)


def _segmentation(report: Report, prediction: Prediction, anatomy: Anatomy) -> bytes:
    """The segmentation by the segmenter, which is the algorithm of this object: no finding is part of it."""
    if not anatomy.is_trusted:
        reasons = "; ".join(reason.detail for reason in anatomy.reasons)
        raise ObjectNotPossible(
            f"no segmentation (seg) can be made from this image: the masks cannot be trusted: {reasons}"
        )
    geometry = prediction.geometry
    organs = placed(anatomy.masks, geometry, report.rows, report.columns)
    transfer_syntax = prediction.radiograph.facts.transfer_syntax
    return segmentation(
        replace(report, algorithm=_algorithm(anatomy.segmenter), findings=()),
        organs,
        geometry.image_size,
        transfer_syntax,
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
