"""The DICOM reader: from a data set to display-ready pixels. Exceptions of pydicom become domain errors here."""

import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from app.errors import ImageError, ImageTooLarge, NotAChestRadiograph, UnreadableImage
from app.imaging.codestream import frame_size
from app.imaging.dicom import acceptance, codecs
from app.imaging.dicom.attributes import Attributes
from app.imaging.dicom.display import GrayscalePipeline, displayed, grayscale_pipeline
from app.imaging.dicom.encapsulation import single_frame, without_trailer
from app.imaging.dicom.file import NATIVE_SYNTAXES, DicomFile, read_file, read_transfer_syntax, silence
from app.imaging.dicom.pixel_aspect import pixel_aspect
from app.imaging.dicom.shutter import presentation_value, visible_region
from app.imaging.grayscale import gray_of_rgb
from app.imaging.radiograph import DecodeLimits, ImageFacts, Radiograph
from app.imaging.size import require_size, size_warnings
from app.imaging.square_pixels import with_square_pixels

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
TRANSFER_SYNTAXES = NATIVE_SYNTAXES | _CODESTREAM_SYNTAXES | {uid.RLELossless}
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
    attributes = Attributes(file.dataset)
    facts = acceptance.read_facts(attributes, file.transfer_syntax)
    acceptance.require_chest_radiograph(attributes, facts, limits)
    require_size(facts.rows, facts.columns, limits)
    warnings = acceptance.read_warnings(attributes) + size_warnings(facts.rows, facts.columns)
    decoded = _decoded(attributes, file.transfer_syntax, facts)
    if decoded.ndim == 2:
        pipeline, more = grayscale_pipeline(attributes)
        warnings += more
    else:  # windows and other transformations are defined for grayscale only (PS3.3 C.11.2)
        pipeline, decoded = GrayscalePipeline(), _gray(decoded)
    aspect = pixel_aspect(attributes)
    visible = visible_region(attributes, facts.rows, facts.columns, aspect)
    pixels = displayed(decoded, pipeline, visible)
    if visible is not None:
        pixels[~visible] = presentation_value(attributes)
    squared = with_square_pixels(pixels, aspect, limits.pixels)
    rows, columns = squared.pixels.shape
    warnings += squared.warnings + attributes.warnings
    return Radiograph(squared.pixels, replace(facts, rows=rows, columns=columns), warnings)


def _decoded(attributes: Attributes, syntax: uid.UID, facts: ImageFacts) -> NDArray[np.integer]:
    """Stored values of the single frame, [H, W] or [H, W, 3] (PS3.5 section 8)."""
    layout = _layout(attributes)
    is_grayscale = facts.photometric_interpretation in _GRAYSCALE
    if is_grayscale and layout.samples != 1:
        raise UnreadableImage(f"a grayscale image cannot have {layout.samples} samples per pixel")
    if not is_grayscale and (layout.samples, layout.bits_allocated) != (3, 8):
        raise NotAChestRadiograph("the photometric interpretation is not accepted; accepted are MONOCHROME1 and 2")
    pixel_data = attributes.dataset["PixelData"]
    value, plugin = bytes(pixel_data.value), ""
    if syntax in NATIVE_SYNTAXES:
        _require_native_length(attributes, layout, len(value))
    else:
        frame, plugin = _checked_frame(value, syntax, layout)
        value = encapsulate([frame])
    source = _pixel_module(layout, str(facts.photometric_interpretation), attributes)
    source["PixelData"] = DataElement("PixelData", pixel_data.VR, value)
    decoded, _ = get_decoder(syntax).as_array(source, index=0, raw=False, decoding_plugin=plugin)
    return decoded


def _gray(colour: NDArray[np.integer]) -> NDArray[np.integer]:
    gray = gray_of_rgb(colour)
    if gray is None:
        raise NotAChestRadiograph("a colour image is not accepted; accepted are MONOCHROME1 and MONOCHROME2")
    return gray


def _layout(attributes: Attributes) -> _PixelLayout:
    bits_allocated = attributes.integer("BitsAllocated") or 0
    bits_stored = attributes.integer("BitsStored")
    layout = _PixelLayout(
        attributes.integer("Rows") or 0,
        attributes.integer("Columns") or 0,
        attributes.integer("SamplesPerPixel") or 1,
        bits_allocated,
        bits_allocated if bits_stored is None else bits_stored,
    )
    if layout.bits_allocated not in _BITS_ALLOCATED or not 1 <= layout.bits_stored <= layout.bits_allocated:
        raise UnreadableImage(
            f"{layout.bits_stored} bits stored of {layout.bits_allocated} bits allocated are not accepted; "
            "accepted are 1 to 8 of 8 and 1 to 16 of 16"
        )
    return layout


def _pixel_module(layout: _PixelLayout, photometric_interpretation: str, attributes: Attributes) -> Dataset:
    """The attributes that pydicom's decoders need, free of the malformed ones of the file."""
    module = Dataset()
    module.SamplesPerPixel = layout.samples
    module.PhotometricInterpretation = photometric_interpretation
    module.Rows, module.Columns = layout.rows, layout.columns
    module.BitsAllocated, module.BitsStored = layout.bits_allocated, layout.bits_stored
    module.HighBit = layout.bits_stored - 1
    module.PixelRepresentation = int(attributes.integer("PixelRepresentation") == 1)
    if layout.samples > 1:
        module.PlanarConfiguration = int(attributes.integer("PlanarConfiguration") == 1)
    return module


def _require_native_length(attributes: Attributes, layout: _PixelLayout, actual: int) -> None:
    if actual < layout.length:
        raise UnreadableImage(
            f"the pixel data are truncated: {layout.rows} rows × {layout.columns} columns need {layout.length} bytes, "
            f"but only {actual} are present"
        )
    high_bit = attributes.integer("HighBit")
    if high_bit is not None and high_bit != layout.bits_stored - 1:
        raise UnreadableImage("a High Bit other than Bits Stored - 1 is not accepted")


def _checked_frame(pixel_data: bytes, syntax: uid.UID, layout: _PixelLayout) -> tuple[bytes, str]:
    """A compressed frame whose header matches, and its decoder plugin: codecs allocate memory by that header."""
    if syntax not in TRANSFER_SYNTAXES:
        raise UnreadableImage(
            "the transfer syntax is not supported; accepted are uncompressed, RLE and the JPEG family"
        )
    frame = single_frame(pixel_data)
    if syntax == uid.RLELossless:
        return frame, ""
    claimed = frame_size(frame)
    if claimed is None:
        raise UnreadableImage("the compressed frame has no readable header")
    if (claimed.rows, claimed.columns, claimed.samples) != (layout.rows, layout.columns, layout.samples):
        raise UnreadableImage(
            f"the compressed frame holds {claimed.rows} × {claimed.columns} pixels of {claimed.samples} samples, "
            f"but the data set declares {layout.rows} × {layout.columns} of {layout.samples}"
        )
    codestream = without_trailer(frame)
    if codestream is None:  # decoders fill the missing part of a truncated frame silently
        raise UnreadableImage("the compressed frame is truncated: its end marker is missing")
    if syntax in _J2K_SYNTAXES:
        return codestream, codecs.OPENJPEG
    is_12_bit = syntax == uid.JPEGExtended12Bit and layout.bits_stored > 8
    return codestream, codecs.GDCM_12_BIT if is_12_bit else ""
