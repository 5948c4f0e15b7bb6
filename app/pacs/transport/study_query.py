"""Finds the chest radiographs of a study by QIDO-RS (PS3.18 section 10.6), also in incomplete responses."""

from collections import Counter
from collections.abc import AsyncIterator

from app.dicom_objects.source_image import FILM_CLASSES
from app.errors import InvalidQueryResponse, NodeRefused, StudyNotFound
from app.imaging.dicom.acceptance import MODALITIES, is_chest
from app.pacs.transport.dicom_json import BODY_PART, INSTANCE, MODALITY, SERIES, SOP_CLASS, text
from app.pacs.transport.protocols import is_uid
from app.pacs.transport.web_session import WebSession
from app.pacs.values import FoundInstance, FoundStudy, Problem


class StudyQuery:
    """The query of one study. A row that is unusable is counted and skipped; it does not affect the others."""

    def __init__(self, session: WebSession, study_uid: str, chest_body_parts: tuple[str, ...] = ()) -> None:
        """``chest_body_parts`` are further names of the chest, as in ``is_chest``."""
        self._session = session
        self._chest_body_parts = chest_body_parts
        self._study_uid = study_uid
        self._path = f"studies/{study_uid}/series"
        self._skipped: Counter[str] = Counter()

    async def run(self) -> FoundStudy:
        """The radiographs of the study. Raises NodeUnavailable, NodeRefused, StudyNotFound."""
        found: dict[str, FoundInstance] = {}
        for series in await self._all_series():
            if not _can_be_chest(series, self._chest_body_parts):
                continue
            series_uid = text(series, SERIES)
            if not is_uid(series_uid):
                self._skipped["a series without a valid Series Instance UID"] += 1
                continue
            async for instance in self._radiographs(series_uid):
                found[instance.sop_instance_uid] = instance
        return FoundStudy(tuple(found.values()), self._problem())

    async def _all_series(self) -> list[object]:
        rows = await self._session.query(self._path, {"includefield": BODY_PART})
        if rows is None and await self._session.query("studies", {"limit": "1"}) is None:
            raise NodeRefused("the node returned status 404 to every query; check its 'url'")
        if not rows:
            raise StudyNotFound("the source has no study with this Study Instance UID")
        return rows

    async def _radiographs(self, series_uid: str) -> AsyncIterator[FoundInstance]:
        """The instances of a series whose SOP class is that of a radiograph."""
        try:
            rows = await self._session.query(f"{self._path}/{series_uid}/instances")
        except NodeRefused:
            self._skipped["a series whose instances the node does not list"] += 1
            return
        for row in rows or ():
            uid, sop_class = text(row, INSTANCE), text(row, SOP_CLASS)
            if sop_class and sop_class not in FILM_CLASSES:
                continue
            if not is_uid(uid):
                self._skipped["an instance without a valid SOP Instance UID"] += 1
                continue
            sop_class = sop_class or await self._class_in_metadata(series_uid, uid)
            if not sop_class:
                self._skipped["an instance without SOP Class UID"] += 1
            elif sop_class in FILM_CLASSES:
                yield FoundInstance(self._study_uid, series_uid, sop_class, uid)

    async def _class_in_metadata(self, series_uid: str, uid: str) -> str:
        """The SOP class by WADO-RS metadata (PS3.18 section 10.4.1.1.2); empty if it is not there either."""
        try:
            rows = await self._session.query(f"{self._path}/{series_uid}/instances/{uid}/metadata")
        except NodeRefused:
            return ""
        return text(rows[0], SOP_CLASS) if rows else ""

    def _problem(self) -> Problem | None:
        if not self._skipped:
            return None
        reasons = ", ".join(f"{reason} ({count})" for reason, count in self._skipped.items())
        return Problem(InvalidQueryResponse.code, f"skipped rows of the query response: {reasons}")


def _can_be_chest(series: object, chest_body_parts: tuple[str, ...]) -> bool:
    """Whether modality and body part allow a chest radiograph; if the modality is missing, the SOP class decides."""
    modality = text(series, MODALITY)
    return (not modality or modality in MODALITIES) and is_chest(text(series, BODY_PART), chest_body_parts)
