"""Reads DICOM JSON (PS3.18 annex F) from other systems: anything of unexpected form counts as missing."""

import json
from typing import Any, cast

MODALITY, BODY_PART, SERIES, SOP_CLASS, INSTANCE = "00080060", "00180015", "0020000E", "00080016", "00080018"
FAILED_SEQUENCE, REFERENCED_INSTANCE, FAILURE_REASON = "00081198", "00081155", "00081197"


def parsed(content: bytes) -> object:
    """The parsed content; an empty list if there is none. Raises ValueError for anything but JSON."""
    if not content:
        return []
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def values(attributes: object, tag: str) -> list[object]:
    """The values of an attribute."""
    try:
        found = cast(Any, attributes)[tag]["Value"]
    except (KeyError, IndexError, TypeError):
        return []
    return cast("list[object]", found) if isinstance(found, list) else []


def first(attributes: object, tag: str) -> object:
    """The first value of an attribute; None if there is none."""
    return next(iter(values(attributes, tag)), None)


def text(attributes: object, tag: str) -> str:
    """The first value of an attribute without padding; empty if it is missing or not text."""
    value = first(attributes, tag)
    return value.strip(" \0") if isinstance(value, str) else ""
