"""Attributes of a source instance: read tolerantly, and copied byte for byte.

A radiograph can hold any value in any attribute, also values that its VR does not allow. Reading never raises: a value
that cannot be read counts as absent. Copies keep the bytes, whichever character set they are in.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

_TEXT_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_LONG_VRS = frozenset({"OB", "OW", "SQ", "UC", "UN", "UR", "UT"})  # 32-bit length, PS3.5 7.1.2
_UNTYPED = frozenset({None, "UN"})  # Implicit VR, or a VR the sender did not know: the dictionary decides
_LONGEST_SHORT = 0xFFFF


def texts(source: Dataset, keyword: str) -> list[str]:
    """The values of a text attribute, without padding; empty where it is absent. Characters are those of ISO 8859-1."""
    value = text_bytes(source, keyword)
    return [part.strip(" \0") for part in value.decode("latin-1").split("\\")] if value else []


def first_text(source: Dataset, keyword: str) -> str:
    """The first value of a text attribute, else an empty text."""
    return next(iter(texts(source, keyword)), "")


def numbers(source: Dataset, keyword: str) -> list[float]:
    """The values of a DS or IS attribute; empty unless all of them are finite numbers."""
    values: list[float] = []
    for text in texts(source, keyword):
        try:
            value = float(text)
        except ValueError:
            return []
        if not math.isfinite(value) or "_" in text:
            return []
        values.append(value)
    return values


def words(source: Dataset, keyword: str) -> NDArray[np.uint16]:
    """The 16-bit values of a US, SS or OW attribute as unsigned numbers; empty where it cannot be read."""
    element = _element(source, keyword)
    if element is None or not element.value:
        return np.empty(0, np.uint16)
    value: object = element.value
    try:
        if isinstance(value, bytes):
            little = element.is_little_endian if isinstance(element, RawDataElement) else source.original_encoding[1]
            order = "<u2" if little is not False else ">u2"
            return np.frombuffer(value[: len(value) // 2 * 2], dtype=order).astype(np.uint16)
        return (np.atleast_1d(np.asarray(value, dtype=np.int64)) & 0xFFFF).astype(np.uint16)
    except (TypeError, ValueError, OverflowError):
        return np.empty(0, np.uint16)


def items(source: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; empty where it cannot be read."""
    if keyword not in source:
        return []
    try:
        value: object = source[keyword].value
    except Exception:  # noqa: BLE001 - whatever pydicom raises on damaged bytes
        return []
    return list(value) if isinstance(value, Sequence) else []


def text_bytes(source: Dataset, keyword: str) -> bytes | None:
    """The bytes of a text attribute as they are, with padding; None where it is absent or of another kind."""
    element = _element(source, keyword)
    return None if element is None else _text_bytes(element)


def _text_bytes(element: DataElement | RawDataElement) -> bytes | None:
    if not isinstance(element, RawDataElement):
        return _encoded_text(element)
    if element.VR not in _UNTYPED | _TEXT_VRS or isinstance(element.value, list):
        return None
    return element.value or b""


def _encoded_text(element: DataElement) -> bytes | None:
    """The bytes of a text element that was decoded in memory."""
    if element.VR not in _TEXT_VRS:
        return None
    value: object = element.value
    parts: Iterable[object] = value if isinstance(value, MultiValue) else [value]
    return "\\".join("" if part is None else str(part) for part in parts).encode("latin-1", "replace")


def _element(source: Dataset, keyword: str) -> DataElement | RawDataElement | None:
    tag = Tag(keyword)
    return source.get_item(tag) if tag in source else None


def encoded_copy(source: Dataset, keyword: str) -> bytes | None:
    """An attribute of the source, encoded in Explicit VR Little Endian with its bytes unchanged.

    Private attributes and binary values within sequences are left out. None where nothing can be copied.
    """
    tag = Tag(keyword)
    if dictionary_VR(tag) != "SQ":
        value = text_bytes(source, keyword)
        return None if value is None else encoded_element(tag, dictionary_VR(tag), value)
    copied = [b"".join(_copied_elements(item)) for item in items(source, keyword)]
    encoded = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in copied if item)
    return encoded_element(tag, "SQ", encoded) if encoded else None


def _copied_elements(item: Dataset) -> Iterator[bytes]:
    for keyword in _keywords(item):
        copied = encoded_copy(item, keyword)
        if copied is not None:
            yield copied


def all_text(source: Dataset, keyword: str) -> bytes:
    """The bytes of all texts of an attribute, also of those within the items of a sequence."""
    if dictionary_VR(Tag(keyword)) != "SQ":
        return text_bytes(source, keyword) or b""
    return b"".join(all_text(item, inner) for item in items(source, keyword) for inner in _keywords(item))


def _keywords(item: Dataset) -> list[str]:
    """The keywords of an item's standard attributes, in order of their tags."""
    tags = (tag for tag in sorted(item.keys()) if not tag.is_private and tag.element != 0)
    return [keyword for keyword in map(keyword_for_tag, tags) if keyword]


def encoded_element(tag: BaseTag, vr: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian (PS3.5 7.1.2), padded to an even length."""
    padded = value + (b"\0" if vr in {"UI", "OB", "UN"} else b" ") * (len(value) % 2)
    head = struct.pack("<HH", tag.group, tag.element) + vr.encode()
    if vr in _LONG_VRS:
        return head + struct.pack("<HL", 0, len(padded)) + padded
    if len(padded) > _LONGEST_SHORT:  # PS3.5 6.2.2
        return encoded_element(tag, "UN", value)
    return head + struct.pack("<H", len(padded)) + padded


def encoded_dataset(dataset: Dataset, encoded: Mapping[BaseTag, bytes]) -> bytes:
    """A data set in Explicit VR Little Endian; elements that are ``encoded`` already replace its own."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    for tag in sorted({*dataset.keys(), *encoded}):
        if tag in encoded:
            stream.write(encoded[tag])
        else:
            write_data_element(stream, dataset[tag], default_encoding)
    return stream.getvalue()
