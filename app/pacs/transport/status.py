"""Status codes of the Storage service (PS3.4 section B.2.3, PS3.7 annex C), in DIMSE and in STOW-RS."""

from pynetdicom.status import STATUS_SUCCESS, STATUS_WARNING, code_to_category

from app.errors import NodeRefused, NodeUnavailable
from app.pacs.values import Problem

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
_DUPLICATE_INSTANCE = 0x0111
_NOT_AUTHORIZED = 0x0124
# Failure reasons of the DICOM service of Azure, within the range of warnings:
_AZURE_ALREADY_STORED = 0xB00E
_AZURE_BEING_STORED = 0xB00F


def is_stored(status: int) -> bool:
    """Whether the archive has the object: success, a warning, or a duplicate; equal UIDs mean equal bytes here."""
    if status == _AZURE_BEING_STORED:
        return False
    return status == _DUPLICATE_INSTANCE or code_to_category(status) in {STATUS_SUCCESS, STATUS_WARNING}


def problem_of(status: int) -> Problem:
    """The problem of a failure status; transient only for lack of resources or permission, or a processing failure."""
    transient = status & 0xFF00 == OUT_OF_RESOURCES or status in {
        PROCESSING_FAILURE,
        _NOT_AUTHORIZED,
        _AZURE_BEING_STORED,
    }
    code = NodeUnavailable.code if transient else NodeRefused.code
    return Problem(code, f"the node returned status 0x{status:04X}", permanent=not transient)
