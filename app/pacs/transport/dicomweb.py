"""A DICOMweb archive (PS3.18) as source and as target: QIDO-RS to query, WADO-RS to retrieve, STOW-RS to store."""

from collections.abc import Sequence

from app.errors import NodeUnavailable
from app.pacs.nodes import DicomWebNode
from app.pacs.transport.multipart import DICOM, only_part
from app.pacs.transport.protocols import Receipts
from app.pacs.transport.stow import store
from app.pacs.transport.study_query import StudyQuery
from app.pacs.transport.web_session import WebSession, require_success
from app.pacs.values import FoundStudy, Result


class DicomWebClient:
    """One node, as source and as target. Use on one event loop, as an asynchronous context manager."""

    def __init__(self, node: DicomWebNode, max_instance_bytes: int, chest_body_parts: tuple[str, ...] = ()) -> None:
        """``max_instance_bytes`` limits the size of a retrieved object; ``chest_body_parts`` as in ``is_chest``."""
        self._session = WebSession(node)
        self._max_instance_bytes = max_instance_bytes
        self._chest_body_parts = chest_body_parts

    async def __aenter__(self) -> "DicomWebClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def find_instances(self, study_uid: str) -> FoundStudy:
        """The chest radiographs of a study. Raises NodeUnavailable, NodeRefused, StudyNotFound."""
        return await StudyQuery(self._session, study_uid, self._chest_body_parts).run()

    async def fetch(self, study_uid: str, series_uid: str, sop_instance_uid: str) -> bytes:
        """One object in the transfer syntax in which it is stored. Raises NodeUnavailable, NodeRefused."""
        path = f"studies/{study_uid}/series/{series_uid}/instances/{sop_instance_uid}"
        accept = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
        response = await self._session.request("GET", path, self._max_instance_bytes, headers={"Accept": accept})
        require_success(response)
        try:
            return only_part(response.headers.get("content-type", ""), response.content)
        except ValueError as error:
            raise NodeUnavailable(f"the response of the source is unreadable: {error}") from None

    async def send(self, results: Sequence[Result]) -> Receipts:
        """Store objects, and verify each by query. Raises NodeUnavailable."""
        return await store(self._session, results)
