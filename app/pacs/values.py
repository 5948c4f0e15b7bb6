"""Values that transport, store and work share: plain types, independent of database and protocol."""

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Problem:
    """Why something failed: a stable code and a message without patient data. ``permanent``: no retry can succeed."""

    code: str
    detail: str
    permanent: bool = False


@dataclass(frozen=True)
class Result:
    """A finished object: its identity, and its bytes as a DICOM file."""

    study_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes


@dataclass(frozen=True)
class FoundInstance:
    """An image that a source reports."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Arrival:
    """An image as received: the calling AE title, its identity, and its bytes as a DICOM file."""

    source: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()
