"""Deterministic UIDs: the same source, model and kind give the same UID, so that a retry makes no duplicate."""

from uuid import UUID, uuid5

from pydicom.uid import UID

_NAMESPACE = UUID("6f0d0d0e-8f0c-5b0e-9d5f-2f6b6f3d0a11")


def derived_uid(source_uid: str, weights_sha256: str, *parts: str) -> UID:
    """A UID of the form 2.25.<number> (PS3.5 B.2) for an object that a model derives from an instance."""
    return UID(f"2.25.{uuid5(_NAMESPACE, '/'.join((source_uid, weights_sha256, *parts))).int}")
