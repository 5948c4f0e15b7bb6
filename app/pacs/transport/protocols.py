"""The roles of an archive, independent of its protocol."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.pacs.values import FoundInstance, Problem, Result

Receipts = Mapping[str, Problem | None]
"""By SOP Instance UID: None if the archive has the object, otherwise the reason."""

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_UID_LENGTH = 64


def is_uid(text: str) -> bool:
    """Whether a text is a UID as in PS3.5 section 9.1, and therefore safe in a URL path."""
    return len(text) <= _UID_LENGTH and _UID.fullmatch(text) is not None


class Source(Protocol):
    """An archive as source of images."""

    async def find_instances(self, study_uid: str) -> list[FoundInstance]:
        """The chest radiographs of a study, according to the archive.

        Raises NodeUnavailable and NodeRefused (also for a study that the archive does not have).
        """
        ...

    async def fetch(self, study_uid: str, series_uid: str, sop_instance_uid: str) -> bytes:
        """One object as a DICOM file. Raises NodeUnavailable, NodeRefused."""
        ...


class Target(Protocol):
    """An archive as target of results."""

    async def send(self, results: Sequence[Result]) -> Receipts:
        """Store objects; returns the outcome of each. Raises NodeUnavailable if no outcome is known."""
        ...
