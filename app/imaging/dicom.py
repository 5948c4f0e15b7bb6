"""The DICOM reader: from a data set to display-ready pixels. Exceptions of pydicom become domain errors here."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from app.errors import ImageError, ImageTooLarge, NotAChestRadiograph, UnreadableImage
from app.imaging import acceptance, codecs, transforms
from app.imaging.codestream import frame_size, has_end
from app.imaging.dicom_file import DicomFile, read_file, read_transfer_syntax, silence
from app.imaging.grayscale import FullRange, apply_modality, apply_polarity, apply_voi, gray_of_rgb
from app.imaging.radiograph import DecodeLimits, ImageWarning, Radiograph

# What pydicom and its plugins raise on damaged input. This could mask a bug of this package; tests of intact files
# guard against that, and a damaged file must not end as an internal error.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_JPEG_SYNTAXES = frozenset(
    {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, *uid.JPEGLSTransferSyntaxes}
)
_J2K_SYNTAXES = frozenset({uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K})
_CODESTREAM_SYNTAXES = _JPEG_SYNTAXES | _J2K_SYNTAXES
_NATIVE_SYNTAXES = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
TRANSFER_SYNTAXES = _NATIVE_SYNTAXES | _CODESTREAM_SYNTAXES | {uid.RLELossless}
_GRAYSCALE = ("MONOCHROME1", "MONOCHROME2")
_BITS_ALLOCATED = (8, 16)

codecs.register()


@dataclass(frozen=True)
class _PixelLayout:
    """The Image Pixel attributes that decoding depends on (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int

    @property
    def length(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.samples * (self.bits_allocated // 8)


def decode_dicom(data: bytes, limits: DecodeLimits) -> Radiograph:
    """Decode a DICOM file (PS3.10, with or without preamble) into display-ready pixels.

    Raises an ``ImageError``, with the transfer syntax where it is known.
    """
    known: str | None = None
    with silence():
        try:
            syntax, start = read_transfer_syntax(data)
            known = acceptance.known_transfer_syntax(syntax)
            return _radiograph(read_file(data, syntax, start, limits), limits)
        except ImageError as error:
            error.transfer_syntax = known
            raise
        except MemoryError:
            raise ImageTooLarge("decoding the DICOM object needs more memory than is allowed", known) from None
        except _FAILURES:  # their texts can quote attribute values, so they are dropped
            raise UnreadableImage("the DICOM object is damaged and cannot be parsed or decoded", known) from None


def _radiograph(file: DicomFile, limits: DecodeLimits) -> Radiograph:
    dataset = file.dataset
    facts = acceptance.read_facts(dataset, file.transfer_syntax)
    acceptance.require_chest_radiograph(dataset, facts)
    acceptance.require_size(facts.rows, facts.columns, limits)
    warnings = acceptance.read_warnings(dataset, facts)
    stored = _stored_values(file, facts.photometric_interpretation in _GRAYSCALE)
    pixels, notes = _display(stored, dataset)
    return Radiograph(pixels, facts, warnings + notes)


def _stored_values(file: DicomFile, is_grayscale: bool) -> NDArray[np.integer]:
    """Stored pixel values [H, W] of the single frame (PS3.5 section 8)."""
    layout = _layout(file.dataset)
    if is_grayscale and layout.samples != 1:
        raise UnreadableImage("a grayscale image cannot have more than one sample per pixel")
    if not is_grayscale and (layout.samples, layout.bits_allocated) != (3, 8):
        raise NotAChestRadiograph("the photometric interpretation is not accepted; accepted are MONOCHROME1 and 2")
    if file.transfer_syntax in _NATIVE_SYNTAXES:
        _require_native_length(file.dataset, layout)
        plugin = ""
    else:
        plugin = _checked_plugin(file, layout)
    decoder = get_decoder(file.transfer_syntax)
    decoded, _ = decoder.as_array(file.dataset, index=0, raw=False, decoding_plugin=plugin)
    if is_grayscale:
        return decoded
    gray = gray_of_rgb(decoded)
    if gray is None:
        raise NotAChestRadiograph("a colour image is not accepted; accepted are MONOCHROME1 and MONOCHROME2")
    return gray


def _layout(dataset: Dataset) -> _PixelLayout:
    layout = _PixelLayout(
        int(dataset.Rows),
        int(dataset.Columns),
        int(dataset.get("SamplesPerPixel") or 1),
        int(dataset.BitsAllocated),
        int(dataset.BitsStored),
    )
    if layout.bits_allocated not in _BITS_ALLOCATED or not 1 <= layout.bits_stored <= layout.bits_allocated:
        raise UnreadableImage(
            f"{layout.bits_stored} of {layout.bits_allocated} bits per sample are not accepted; "
            "accepted are 1 to 8 of 8 bits and 1 to 16 of 16 bits"
        )
    return layout


def _require_native_length(dataset: Dataset, layout: _PixelLayout) -> None:
    actual = len(dataset.PixelData)
    if actual < layout.length:
        raise UnreadableImage(
            f"the pixel data are truncated: {layout.rows} × {layout.columns} pixels need {layout.length} bytes, "
            f"but only {actual} are present"
        )
    if dataset.get("HighBit", layout.bits_stored - 1) != layout.bits_stored - 1:
        raise UnreadableImage("a High Bit other than Bits Stored - 1 is not accepted")


def _checked_plugin(file: DicomFile, layout: _PixelLayout) -> str:
    """The decoder plugin for a compressed frame whose header matches: codecs allocate memory by that header."""
    syntax = file.transfer_syntax
    if syntax not in TRANSFER_SYNTAXES:
        raise UnreadableImage(
            "the transfer syntax is not supported; accepted are uncompressed, RLE and the JPEG family"
        )
    frame = next(generate_frames(file.dataset.PixelData, number_of_frames=1))
    if syntax == uid.RLELossless:
        return ""
    claimed = frame_size(frame)
    if claimed is None:
        raise UnreadableImage("the compressed frame has no readable header")
    if (claimed.rows, claimed.columns, claimed.samples) != (layout.rows, layout.columns, layout.samples):
        raise UnreadableImage(
            f"the compressed frame holds {claimed.rows} × {claimed.columns} pixels of {claimed.samples} samples, "
            f"but the data set declares {layout.rows} × {layout.columns} of {layout.samples}"
        )
    if not has_end(frame):
        raise UnreadableImage("the compressed frame is truncated: its end marker is missing")
    if syntax in _J2K_SYNTAXES:
        return codecs.OPENJPEG
    return codecs.GDCM_12_BIT if syntax == uid.JPEGExtended12Bit and layout.bits_stored > 8 else ""


def _display(stored: NDArray[np.integer], dataset: Dataset) -> tuple[NDArray[np.float32], tuple[ImageWarning, ...]]:
    """Displayed values [H, W] in [0, 1] of stored values, and warnings.

    The transformations are applied to a table of all stored values, which is several times smaller than the image.
    Padding does not count for the range and is displayed black in both polarities.
    """
    padding = transforms.padding_range(dataset)
    real = stored
    if padding is not None:
        real = stored[(stored < padding[0]) | (stored > padding[1])]
    low, high = (int(real.min()), int(real.max())) if real.size else (0, 0)
    if low == high:
        raise NotAChestRadiograph("all pixels have the same value; only exposed radiographs are accepted")
    start, stop = int(stored.min()), int(stored.max()) + 1
    values = np.arange(start, stop, dtype=np.float64)
    modality = apply_modality(values, transforms.modality_transform(dataset))
    voi = transforms.voi_transform(dataset)
    notes: tuple[ImageWarning, ...] = ()
    if voi is not None and not getattr(voi, "is_valid", True):
        notes = (
            ImageWarning(
                "window_ignored", "the display window has an invalid width; the full range of values is displayed"
            ),
        )
        voi = None
    if voi is None:
        shown = modality[low - start : high - start + 1]
        voi = FullRange(float(shown.min()), float(shown.max()))
    displayed = apply_polarity(apply_voi(modality, voi), inverted=transforms.is_inverted(dataset))
    if padding is not None:
        displayed[max(0, padding[0] - start) : max(0, padding[1] + 1 - start)] = 0.0
    table = displayed.astype(np.float32)
    return table[stored.astype(np.int32) - start], notes
