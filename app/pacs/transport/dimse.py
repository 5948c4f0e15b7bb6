"""A DIMSE archive as target: C-STORE (PS3.4 annex B), one association for all results of a delivery."""

import asyncio
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from app.errors import NodeRefused, NodeUnavailable
from app.imaging.dicom.file import silence
from app.pacs.nodes import DimseNode
from app.pacs.transport.implicit_vr import as_implicit_vr
from app.pacs.transport.protocols import Receipts
from app.pacs.transport.status import is_stored, problem_of
from app.pacs.values import Problem, Result

_MAX_ASSOCIATIONS = 3  # of one delivery: an object that makes the node abort must not hold up the others
_META_LENGTH_END = 144  # preamble, prefix and group length: PS3.10 section 7.1
_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_UNANSWERED = Problem(NodeUnavailable.code, "the node ended the association without a response")


class DimseClient:
    """One node as target. Safe from any task; every call opens its own associations on a thread."""

    def __init__(self, node: DimseNode, calling_ae_title: str) -> None:
        self._node = node
        self._calling = calling_ae_title

    async def send(self, results: Sequence[Result]) -> Receipts:
        """Store objects; returns the outcome of each. Raises NodeUnavailable without an association."""
        return await asyncio.to_thread(self._send, results)

    def _send(self, results: Sequence[Result]) -> Receipts:
        receipts: dict[str, Problem | None] = {}
        for _ in range(_MAX_ASSOCIATIONS):
            remaining = [result for result in results if result.sop_instance_uid not in receipts]
            if not remaining:
                break
            try:
                self._send_over_one_association(remaining, receipts)
            except NodeUnavailable:
                if not receipts:
                    raise
                break
        return {result.sop_instance_uid: receipts.get(result.sop_instance_uid, _UNANSWERED) for result in results}

    def _send_over_one_association(self, results: Sequence[Result], receipts: dict[str, Problem | None]) -> None:
        """Add the receipts of all results, or of those up to the one at which the association ended."""
        refused: dict[str, Problem | None] = {}
        with self._association({result.sop_class_uid for result in results}) as association:
            for result in results:
                syntax = _accepted_syntax(association.accepted_contexts, result.sop_class_uid)
                if syntax is None:
                    refused[result.sop_instance_uid] = _not_accepted(result)
                    continue
                receipts[result.sop_instance_uid] = _store(association, result, syntax)
                if receipts[result.sop_instance_uid] is _UNANSWERED:
                    break
        receipts.update(refused)

    @contextmanager
    def _association(self, sop_classes: Iterable[str]) -> Generator[Association]:
        """An open association; it is not established where the node accepts none of the presentation contexts."""
        node = self._node
        entity = ApplicationEntity(self._calling)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = node.timeout_s
        contexts = [build_context(sop_class, syntax) for sop_class in sorted(sop_classes) for syntax in _SYNTAXES]
        association = entity.associate(node.host, node.port, contexts, ae_title=node.ae_title)
        connection = association.dul.socket.socket if association.dul.socket else None
        try:
            if not association.is_established and not association.rejected_contexts:
                raise NodeUnavailable(f"the node {_reason(association)}")
            yield association
        finally:
            if association.is_established:
                association.release()
            if connection is not None:  # pynetdicom leaves it open if the peer disconnected first
                connection.close()


def _accepted_syntax(accepted: Iterable[PresentationContext], sop_class: str) -> str | None:
    """The transfer syntax for a SOP class, Explicit VR where both are accepted; None if the node does not take it."""
    syntaxes = {str(context.transfer_syntax[0]) for context in accepted if context.abstract_syntax == sop_class}
    return next((syntax for syntax in _SYNTAXES if syntax in syntaxes), None)


def _not_accepted(result: Result) -> Problem:
    detail = f"the node does not accept the SOP class {result.sop_class_uid}"
    return Problem(NodeRefused.code, detail, permanent=True)


def _store(association: Association, result: Result, syntax: str) -> Problem | None:
    """Send one object. An object that cannot be encoded is a permanent problem of its own."""
    try:
        with silence():
            status = association.send_c_store(_data_set(result.content, syntax))
    except RuntimeError:  # the association ended meanwhile
        return _UNANSWERED
    except Exception as error:  # noqa: BLE001 - its message can quote the object
        detail = f"the object cannot be encoded for C-STORE ({type(error).__name__})"
        return Problem(NodeRefused.code, detail, permanent=True)
    code = status.get("Status")
    if code is None:
        return _UNANSWERED
    return None if is_stored(code) else problem_of(code)


def _data_set(content: bytes, syntax: str) -> Dataset:
    """The data set of a file in Explicit VR, ready to be sent in a transfer syntax with all values unchanged."""
    dataset = dcmread(BytesIO(content))
    if syntax == ExplicitVRLittleEndian:
        return dataset
    meta = dataset.file_meta
    begin = _META_LENGTH_END + meta.FileMetaInformationGroupLength
    converted = read_dataset(BytesIO(as_implicit_vr(content[begin:])), is_implicit_VR=True, is_little_endian=True)
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    converted.file_meta = meta
    return converted


def _reason(association: Association) -> str:
    """Why there is no association (PS3.8 section 9.3.4)."""
    if not association.is_rejected:
        return "does not answer"
    response = association.acceptor.primitive
    reason = getattr(response, "reason_str", "") if response is not None else ""
    return f"rejects the association: {reason.lower()}" if reason else "rejects the association"
