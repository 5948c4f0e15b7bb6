"""Status codes of the Storage service (PS3.4 section B.2.3, PS3.7 annex C)."""

from app.errors import NodeRefused, NodeUnavailable
from app.pacs.values import Problem

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
_NOT_AUTHORIZED = 0x0124


def is_stored(status: int) -> bool:
    """Whether the archive stored the object: success, or a warning such as coerced elements."""
    return status == SUCCESS or status & 0xF000 == 0xB000


def problem_of(status: int) -> Problem:
    """The problem of a failure status; transient only for lack of resources or permission, or a processing failure."""
    transient = status & 0xFF00 == OUT_OF_RESOURCES or status in {PROCESSING_FAILURE, _NOT_AUTHORIZED}
    code = NodeUnavailable.code if transient else NodeRefused.code
    return Problem(code, f"the node returned status 0x{status:04X}", permanent=not transient)
