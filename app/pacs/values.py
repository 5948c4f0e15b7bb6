"""Values that transport, store and work share: plain types without a database or a protocol."""

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Problem:
    """Why something failed: a stable code and words without patient data. ``permanent``: no later try can succeed."""

    code: str
    detail: str
    permanent: bool = False


@dataclass(frozen=True)
class Result:
    """A finished object: which it is, and its bytes as a DICOM file."""

    study_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes


@dataclass(frozen=True)
class FoundInstance:
    """An image that a source says it has."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Arrival:
    """An image as it was received: from whom (an AE title), what it says it is, and its bytes as a DICOM file."""

    source: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()
