"""A DIMSE archive as target: C-STORE (PS3.4 annex B), one association for all results of a delivery."""

import asyncio
from collections.abc import Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

from app.errors import NodeRefused, NodeUnavailable
from app.imaging.dicom_file import silence
from app.pacs.nodes import DimseNode
from app.pacs.transport.protocols import Receipts
from app.pacs.transport.status import is_stored, problem_of
from app.pacs.values import Problem, Result

_UNANSWERED = Problem(NodeUnavailable.code, "the node ended the association without a response")


class DimseClient:
    """One node as target. Safe from any task; every call opens its own association on a thread."""

    def __init__(self, node: DimseNode, calling_ae_title: str) -> None:
        self._node = node
        self._calling = calling_ae_title

    async def send(self, results: Sequence[Result]) -> Receipts:
        """Store objects; returns the outcome of each. Raises NodeUnavailable without an association."""
        return await asyncio.to_thread(self._send, results)

    def _send(self, results: Sequence[Result]) -> Receipts:
        association = self._associate({result.sop_class_uid for result in results})
        connection = association.dul.socket.socket if association.dul.socket else None
        receipts: dict[str, Problem | None] = dict.fromkeys(
            (result.sop_instance_uid for result in results), _UNANSWERED
        )
        try:
            for result in results:
                if not association.is_established:
                    break
                receipts[result.sop_instance_uid] = _store(association, result)
        finally:
            if association.is_established:
                association.release()
            if connection is not None:  # pynetdicom leaves it open if the peer disconnected first
                connection.close()
        return receipts

    def _associate(self, sop_classes: set[str]) -> Association:
        node = self._node
        entity = ApplicationEntity(self._calling)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = node.timeout_s
        for sop_class in sorted(sop_classes):
            entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
        association = entity.associate(node.host, node.port, ae_title=node.ae_title)
        if not association.is_established:
            why = "refuses the association" if association.is_rejected else "does not answer"
            raise NodeUnavailable(f"the node {why}")
        return association


def _store(association: Association, result: Result) -> Problem | None:
    accepted = {context.abstract_syntax for context in association.accepted_contexts}
    if result.sop_class_uid not in accepted:
        return Problem(NodeRefused.code, f"the node takes no objects of class {result.sop_class_uid}", permanent=True)
    with silence():
        status = association.send_c_store(dcmread(BytesIO(result.content)))
    code = status.get("Status")
    if code is None:
        return _UNANSWERED
    return None if is_stored(code) else problem_of(code)
