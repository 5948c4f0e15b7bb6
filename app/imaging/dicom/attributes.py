"""Lenient reading of DICOM attributes, independent of the conversions of pydicom.

A value that is malformed but unambiguous is used; any other malformed value is left out. Both are noted, so that no
optional attribute makes a radiograph unreadable and no repair stays unknown.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from typing import Literal, cast

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_description, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from app.imaging.radiograph import ImageWarning

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_BYTES = frozenset({"OB", "OW", "UN"})
_AMBIGUOUS = frozenset({"US or SS", "US or OW", "US or SS or OW"})
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_LARGEST = 1e15  # no attribute has larger values, and they would not be exact
_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x5C}
_PADDING = "\0 \t\r\n"


class Attributes:
    """The attributes of one data set, read by keyword."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._notes: dict[str, Literal["repaired", "ignored"]] = {}

    @property
    def warnings(self) -> tuple[ImageWarning, ...]:
        """One ``malformed_attribute`` for each attribute that was repaired or left out."""
        return tuple(_warning(keyword, note) for keyword, note in self._notes.items())

    def ignore(self, keyword: str) -> None:
        """Note that an attribute was left out."""
        self._notes[keyword] = "ignored"

    def text(self, keyword: str) -> str:
        """The first value in the character set of the data set, without padding; empty where it is absent."""
        return self.full_text(keyword).split("\\")[0].strip(_PADDING)

    def full_text(self, keyword: str) -> str:
        """All values in the character set of the data set, separated by backslashes; empty where it is absent."""
        _, value = self._raw(keyword)
        if isinstance(value, bytes):
            value = self._decode(value)
        values: Iterable[object] = [value] if isinstance(value, str) else _values(value)
        return "\\".join(str(part) for part in values).strip(_PADDING)

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """All values as finite numbers; none where the attribute is absent, empty or malformed."""
        vr, value = self._raw(keyword)
        if isinstance(value, bytes) and vr in _BINARY:
            numbers = _unpacked(value, _BINARY[vr], little_endian=self._is_little_endian(keyword))
        else:
            parts = self.full_text(keyword).split("\\")
            if not any(part.strip(_PADDING) for part in parts):
                return ()
            numbers = [self._number(keyword, part) for part in parts]
        if any(number is None or not abs(number) <= _LARGEST for number in numbers):  # NaN is not
            self.ignore(keyword)
            return ()
        return tuple(float(number) for number in numbers if number is not None)

    def number(self, keyword: str) -> float | None:
        """The first value as a finite number; None where the attribute is absent, empty or malformed."""
        numbers = self.numbers(keyword)
        return numbers[0] if numbers else None

    def integer(self, keyword: str) -> int | None:
        """The first value as an integer; None where the attribute is absent, empty or malformed."""
        number = self.number(keyword)
        if number is not None and not number.is_integer():
            self.ignore(keyword)
            return None
        return None if number is None else int(number)

    def items(self, keyword: str) -> tuple["Attributes", ...]:
        """The items of a sequence; none where it is absent or malformed."""
        if keyword not in self.dataset:
            return ()
        try:
            sequence = cast("Sequence[object]", self.dataset[keyword].value or ())
            items = [item for item in sequence if isinstance(item, Dataset)]
        except Exception:  # noqa: BLE001 - pydicom parses the items here and raises many kinds of errors
            self.ignore(keyword)
            return ()
        if len(items) != len(sequence):
            self.ignore(keyword)
        return tuple(Attributes(item) for item in items)

    def _number(self, keyword: str, text: str) -> float | None:
        number = _parsed(text)
        if number is not None and keyword not in self._notes and not _is_well_formed(text, self._raw(keyword)[0]):
            self._notes[keyword] = "repaired"
        return number

    def _raw(self, keyword: str) -> tuple[str, object]:
        """Value representation and value: bytes as in the file, or the value that pydicom has converted."""
        tag = Tag(cast(int, tag_for_keyword(keyword)))
        if tag not in self.dataset:
            return "", b""
        element = self.dataset.get_item(tag)
        vr = element.VR or "UN"
        if vr == "UN" or vr in _AMBIGUOUS or (vr not in _BINARY and dictionary_VR(tag) in _BINARY and vr in _BYTES):
            vr = "US" if dictionary_VR(tag) in _AMBIGUOUS else dictionary_VR(tag)
        if isinstance(element, RawDataElement):
            return vr, element.value or b""
        return vr, cast(object, element.value)

    def _is_little_endian(self, keyword: str) -> bool:
        element = self.dataset.get_item(Tag(cast(int, tag_for_keyword(keyword))))
        return element.is_little_endian if isinstance(element, RawDataElement) else self.is_little_endian

    @property
    def is_little_endian(self) -> bool:
        """Byte order of the data set, for values of VR OW."""
        return self.dataset.original_encoding[1] is not False

    def _decode(self, value: bytes) -> str:
        """Text in the declared character set where it fits, else in UTF-8, else in Latin-1."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        for decode in (self._decode_as_declared, _decode_utf_8):
            text = decode(value)
            if text is not None:
                return text
        return value.decode("latin-1")

    def _decode_as_declared(self, value: bytes) -> str | None:
        _, names = self._raw("SpecificCharacterSet")
        if isinstance(names, bytes):
            names = names.decode("ascii", "replace").strip(_PADDING).split("\\")
        if not names or names == [""]:
            return None
        try:
            text = decode_bytes(value, convert_encodings(cast("list[str]", names)), _DELIMITERS)
        except (LookupError, ValueError, TypeError):
            return None
        return None if "\ufffd" in text else text


def _parsed(text: str) -> float | None:
    """A number written with a decimal point, or with a decimal comma that cannot separate thousands."""
    text = text.strip(_PADDING)
    if _DECIMAL_COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        text = text.replace(",", ".")
    if "_" in text:  # float() would accept it
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _is_well_formed(text: str, vr: str) -> bool:
    if "," in text:
        return False
    return vr != "IS" or "." not in text


def _unpacked(value: bytes, code: str, *, little_endian: bool) -> list[float | None]:
    size = struct.calcsize(code)
    if len(value) % size:
        return [None]
    return list(struct.unpack(f"{'<' if little_endian else '>'}{len(value) // size}{code}", value))


def _values(value: object) -> Iterable[object]:
    if value is None:
        return ()
    return cast("Iterable[object]", value) if isinstance(value, Sequence) else (value,)


def _decode_utf_8(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _warning(keyword: str, note: str) -> ImageWarning:
    tag = Tag(cast(int, tag_for_keyword(keyword)))
    name = f"{dictionary_description(tag)} ({tag.group:04X},{tag.element:04X})"
    outcome = "was corrected" if note == "repaired" else "was ignored"
    return ImageWarning("malformed_attribute", f"the attribute {name} is malformed and {outcome}")
