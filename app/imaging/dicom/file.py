"""The file layer of DICOM (PS3.10): from bytes to a data set, with a bound on the size of an inflated data set."""

import logging
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from app.errors import ImageTooLarge, UnreadableImage
from app.imaging.radiograph import DecodeLimits
from app.imaging.sniffing import PREAMBLE_LENGTH, has_preamble

NATIVE_SYNTAXES = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
_META_GROUP = 0x0002
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
_CHARACTER_SET = 0x00080005
_SHORT_HEADER, _LONG_HEADER = 8, 12  # bytes before a value, PS3.5 7.1.2
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_RAW_DEFLATE = -zlib.MAX_WBITS


@dataclass(frozen=True)
class DicomFile:
    """A parsed file: ``dataset`` without the file meta information, and its transfer syntax."""

    dataset: Dataset
    transfer_syntax: uid.UID


@dataclass(frozen=True)
class _Encoding:
    is_implicit_vr: bool
    is_little_endian: bool


@contextmanager
def silence() -> Generator[None]:
    """Suppress warnings and log records of pydicom and highdicom: they can quote patient data."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]  # parent loggers without handlers
    propagated = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, before in zip(loggers, propagated, strict=True):
            logger.propagate = before


def read_transfer_syntax(data: bytes) -> tuple[uid.UID, int]:
    """The transfer syntax of a file and the offset of its data set.

    Read from the file meta information (PS3.10 section 7.1); where that is missing, guessed from the first element.
    """
    stream = BytesIO(data)
    stream.seek(PREAMBLE_LENGTH + 4 if has_preamble(data) else 0)
    meta = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=_is_past_meta)
    start = stream.tell()
    named = uid.UID(str(meta.get("TransferSyntaxUID") or "").strip("\0 "))
    return named or _guess_transfer_syntax(data[start : start + 6]), start


def read_file(data: bytes, transfer_syntax: uid.UID, start: int, limits: DecodeLimits) -> DicomFile:
    """Parse the data set that starts at ``start``.

    Raises UnreadableImage where it is truncated, ImageTooLarge where it inflates beyond ``limits.inflated_bytes``, and
    any exception of pydicom on damaged bytes.
    """
    encoded = data[start:]
    if transfer_syntax == uid.DeflatedExplicitVRLittleEndian:
        encoded = _inflate(encoded, limits.inflated_bytes)
    encoding = _Encoding(transfer_syntax == uid.ImplicitVRLittleEndian, transfer_syntax != uid.ExplicitVRBigEndian)
    dataset = _parse(encoded, encoding)
    if not dataset and transfer_syntax not in NATIVE_SYNTAXES:
        dataset = _parse(encoded + _SEQUENCE_DELIMITER, encoding)  # some writers leave it out at the end of a file
    if not dataset:  # pydicom drops all elements when the bytes end inside an element
        raise UnreadableImage("the DICOM object is truncated or damaged: it ends inside an attribute")
    return DicomFile(dataset, transfer_syntax)


def _parse(encoded: bytes, encoding: "_Encoding") -> Dataset:
    try:
        return read_dataset(BytesIO(encoded), encoding.is_implicit_vr, encoding.is_little_endian)
    except Exception:  # noqa: BLE001 - pydicom decodes the Specific Character Set here: a malformed one raises anything
        readable = _without_character_set(encoded, encoding)
        return read_dataset(BytesIO(readable), encoding.is_implicit_vr, encoding.is_little_endian)


def _without_character_set(encoded: bytes, encoding: "_Encoding") -> bytes:
    """The same data set with an empty Specific Character Set."""
    stream = BytesIO(encoded)
    read_dataset(stream, encoding.is_implicit_vr, encoding.is_little_endian, stop_when=_is_past_general)
    start = stream.tell()
    order, tag = "little" if encoding.is_little_endian else "big", encoded[start : start + 4]
    is_long = not encoding.is_implicit_vr and encoded[start + 4 : start + 6] in _LONG_VRS
    value = start + (_LONG_HEADER if is_long else _SHORT_HEADER)
    length_bytes = 4 if encoding.is_implicit_vr or is_long else 2
    length = int.from_bytes(encoded[value - length_bytes : value], order)
    empty = tag + (bytes(4) if encoding.is_implicit_vr else b"CS\0\0")
    return encoded[:start] + empty + encoded[value + length :]


def _is_past_general(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's signature
    return tag >= _CHARACTER_SET


def _is_past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's signature
    return tag.group != _META_GROUP


def _guess_transfer_syntax(head: bytes) -> uid.UID:
    """Guess an undeclared transfer syntax: byte order from the low first group number, VR from two capital letters."""
    if head[:1] == b"\0":
        return uid.ExplicitVRBigEndian
    value_representation = head[4:6]
    explicit = value_representation.isalpha() and value_representation.isupper()
    return uid.ExplicitVRLittleEndian if explicit else uid.ImplicitVRLittleEndian


def _inflate(deflated: bytes, limit: int) -> bytes:
    """Inflate a data set (PS3.5 section A.5) to at most ``limit`` bytes."""
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    inflated = inflater.decompress(deflated, limit + 1)
    if len(inflated) > limit:
        raise ImageTooLarge(f"the deflated data set inflates to more than {limit} bytes")
    if not inflater.eof:
        raise UnreadableImage("the deflated data set is truncated")
    return inflated
