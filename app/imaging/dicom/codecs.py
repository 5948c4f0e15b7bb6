"""Two decoder plugins that pydicom lacks: OpenJPEG without pylibjpeg, and 12-bit JPEG Extended through GDCM.

OpenJPEG decodes JPEG 2000 faster than GDCM and is the only installed decoder for HTJ2K. pydicom does not pass 12-bit
JPEG Extended to GDCM, although GDCM decodes it when the precision is given.
"""

from typing import Any, cast

import gdcm  # pyright: ignore[reportMissingTypeStubs]
from openjpeg.utils import decode_pixel_data
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

OPENJPEG = "medpatchnet-openjpeg"
GDCM_12_BIT = "medpatchnet-gdcm-12-bit"
_OPENJPEG_SYNTAXES = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)

# pydicom requires both names in a plugin module.
DECODER_DEPENDENCIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OPENJPEG_SYNTAXES, ("openjpeg>=2.4",)),
    uid.JPEGExtended12Bit: ("gdcm>=3.0.10",),
}


def is_available(syntax: str) -> bool:
    """Whether this module has a decoder for the transfer syntax."""
    return syntax in DECODER_DEPENDENCIES


def register() -> None:
    """Register both decoders with pydicom. Idempotent."""
    for syntax in _OPENJPEG_SYNTAXES:
        _add(syntax, OPENJPEG, "decode_j2k")
    _add(uid.JPEGExtended12Bit, GDCM_12_BIT, "decode_12_bit_jpeg")


def _add(syntax: uid.UID, label: str, function: str) -> None:
    decoder = get_decoder(syntax)
    if label not in decoder.available_plugins:
        decoder.add_plugin(label, (__name__, function))


def decode_j2k(frame: bytes, runner: DecodeRunner) -> bytearray:
    """Decode one JPEG 2000 or HTJ2K frame to little endian samples; sets their width. Raises RuntimeError."""
    decoded = decode_pixel_data(frame, version=2)
    precision = int(runner.get_option("j2k_precision", runner.bits_stored))
    runner.set_option("bits_allocated", 8 if precision <= 8 else 16)
    if runner.photometric_interpretation in {"YBR_ICT", "YBR_RCT"}:
        runner.set_option("photometric_interpretation", "RGB")
    return cast(bytearray, decoded)


def decode_12_bit_jpeg(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one grayscale JPEG Extended frame of 12-bit samples to little endian 16-bit samples."""
    library = cast(Any, gdcm)  # SWIG bindings without types
    fragment = library.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = library.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = library.DataElement(library.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = library.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetPhotometricInterpretation(library.PhotometricInterpretation(library.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(library.TransferSyntax(library.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(library.PixelFormat(1, 16, 12, 11, 0))
    image.SetDataElement(element)
    runner.set_option("bits_allocated", 16)
    return cast(str, image.GetBuffer()).encode("utf-8", "surrogateescape")  # SWIG returns bytes as a string
