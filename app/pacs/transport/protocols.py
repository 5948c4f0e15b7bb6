"""What an archive is to the service, whichever protocol it speaks."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.pacs.values import FoundInstance, Problem, Result

Receipts = Mapping[str, Problem | None]
"""By SOP Instance UID: None where the archive has the object, else why not."""

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_UID_LENGTH = 64


def is_uid(text: str) -> bool:
    """Whether a text is a UID as PS3.5 section 9.1 has it, and so harmless in a path."""
    return len(text) <= _UID_LENGTH and _UID.fullmatch(text) is not None


class Source(Protocol):
    """An archive to read from."""

    async def find_films(self, study_uid: str) -> list[FoundInstance]:
        """The chest radiographs of a study, by what the archive says of them.

        Raises NodeUnavailable, NodeRefused (also for a study that the archive does not have).
        """
        ...

    async def fetch(self, study_uid: str, series_uid: str, sop_instance_uid: str) -> bytes:
        """One object as a DICOM file. Raises NodeUnavailable, NodeRefused."""
        ...


class Target(Protocol):
    """An archive to write to."""

    async def send(self, results: Sequence[Result]) -> Receipts:
        """Store objects; what became of each. Raises NodeUnavailable where nothing is known of any."""
        ...
