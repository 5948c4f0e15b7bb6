"""Factories of test inputs: radiographs as DICOM objects in any encoding, as PNG and JPEG files, and hostile files.

Everything is deterministic. The examples are files of pydicom and pydicom-data, which are installed with the tests.
"""

import struct
import tempfile
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
import openjpeg
from PIL import Image
from pydicom import Dataset, dcmread, uid
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import write_file_meta_info

ROWS, COLUMNS = 113, 127
SENTINEL = "ZZSENTINEL^PATIENT"
HTJ2K_FILES = Path(__file__).parent / "unit" / "imaging" / "files"


def example(name: str) -> bytes:
    """An example file of pydicom or pydicom-data, such as ``RG1_UNCR.dcm`` (a chest) or ``RG3_UNCR.dcm`` (a leg)."""
    path = get_testdata_file(name, download=False)
    assert path is not None, f"pydicom-data does not hold {name}"
    return Path(path).read_bytes()


def film(rows: int = ROWS, columns: int = COLUMNS, bits: int = 12) -> np.ndarray:
    """A smooth, asymmetric radiograph [rows, columns] uint16 whose values use most of ``bits`` bits."""
    row, column = np.mgrid[0:rows, 0:columns].astype(np.float64)
    lungs = np.sin(row / rows * 5.0) * np.cos(column / columns * 7.0 + 1.0)
    values = 0.5 + 0.3 * lungs + 0.1 * row / rows - 0.05 * column / columns
    return np.rint(values * (2**bits - 1)).astype(np.uint16)


def crop_of_rg1() -> np.ndarray:
    """The part [113, 127] uint16 of the example chest that is stored in the HTJ2K files."""
    whole = np.frombuffer(dcmread(BytesIO(example("RG1_UNCR.dcm"))).PixelData, dtype="<u2").reshape(1955, 1841)
    return whole[600:1052:4, 500:1008:4]


def chest_dataset(stored: np.ndarray | None = None, bits: int = 12, **attributes: object) -> Dataset:
    """A data set of a chest radiograph; each of ``attributes`` replaces an attribute or, where None, removes it."""
    stored = film(bits=bits) if stored is None else stored
    dataset = Dataset()
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.3"
    dataset.PatientName = SENTINEL
    dataset.PatientID = SENTINEL
    dataset.Modality = "DX"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored = min(bits, dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset["PixelData"] = _pixel_element(stored.astype(stored.dtype.newbyteorder("<")).tobytes(), dataset)
    with warnings.catch_warnings():  # some tests need odd values
        warnings.simplefilter("ignore")
        for keyword, value in attributes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
    return dataset


def radiograph_of(picture: Path, **attributes: object) -> bytes:
    """A DICOM file of a picture of a chest, stored with 12 bits: CR or DX, by the digits of its name."""
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=np.uint16) * 16
    name = picture.stem
    computed = sum(map(int, filter(str.isdecimal, name))) % 2 == 0
    classes = uid.ComputedRadiographyImageStorage, uid.DigitalXRayImageStorageForPresentation
    described: dict[str, object] = {
        "SOPClassUID": classes[0 if computed else 1],
        "Modality": "CR" if computed else "DX",
        "SOPInstanceUID": uid.generate_uid(entropy_srcs=[name, "instance"]),
        "SeriesInstanceUID": uid.generate_uid(entropy_srcs=[name, "series"]),
        "StudyInstanceUID": uid.generate_uid(entropy_srcs=[name, "study"]),
        "PatientName": f"Film^{name}",
        "PatientID": name,
        "AccessionNumber": name[-8:],
        "StudyDate": "20260103",
        "StudyTime": "101112.13",
        "StudyDescription": "Chest PA",
    }
    return chest_dicom(pixels, **described, **attributes)


def _pixel_element(value: bytes, dataset: Dataset):
    from pydicom import DataElement

    return DataElement("PixelData", "OB" if dataset.BitsAllocated == 8 else "OW", value + b"\0" * (len(value) % 2))


def write_dicom(dataset: Dataset, syntax: str = uid.ExplicitVRLittleEndian, *, preamble: bool = True) -> bytes:
    """A DICOM file of a data set whose pixel data already have the transfer syntax (little endian if uncompressed)."""
    dataset = Dataset(dataset)
    if syntax == uid.ExplicitVRBigEndian and dataset.get("BitsAllocated") == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, dtype="<u2").astype(">u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    stream = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(
            stream,
            enforce_file_format=preamble,
            implicit_vr=syntax == uid.ImplicitVRLittleEndian,
            little_endian=syntax != uid.ExplicitVRBigEndian,
        )
    return stream.getvalue()


def chest_dicom(stored: np.ndarray | None = None, bits: int = 12, **attributes: object) -> bytes:
    """An explicit little endian DICOM file of a chest radiograph."""
    return write_dicom(chest_dataset(stored, bits, **attributes))


def compressed_dicom(frame: bytes, syntax: str, stored: np.ndarray, bits: int = 12, **attributes: object) -> bytes:
    """A DICOM file of one compressed frame; only the shape and the type of ``stored`` are used."""
    dataset = chest_dataset(stored, bits, **attributes)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return write_dicom(dataset, syntax)


def encoded_frame(stored: np.ndarray, syntax: str, bits: int = 12) -> bytes:
    """One frame compressed without loss, or with little loss for the lossy transfer syntaxes."""
    if syntax in {uid.JPEG2000Lossless, uid.JPEG2000}:
        ratios = [10.0] if syntax == uid.JPEG2000 else None
        return bytes(openjpeg.utils.encode_array(stored, bits_stored=bits, compression_ratios=ratios))
    if syntax == uid.JPEGBaseline8Bit:
        return jpeg_file(stored.astype(np.uint8), quality=95)
    if syntax in {uid.JPEGLossless, uid.JPEGLosslessSV1}:
        return _gdcm_lossless(stored, bits)
    dataset = chest_dataset(stored, bits)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    options = {"jls_error": 2} if syntax == uid.JPEGLSNearLossless else {}
    plugin = "pydicom" if syntax == uid.RLELossless else "pyjpegls"
    dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False, **options)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def _gdcm_lossless(stored: np.ndarray, bits: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.dcm", Path(folder) / "target.dcm"
        source.write_bytes(chest_dicom(stored, bits))
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return next(generate_frames(dcmread(target).PixelData, number_of_frames=1))


def png_file(image: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    """A PNG of an array [H, W] (8 or 16 bits), [H, W, 3] or [H, W, 4]; ``mode`` converts it first."""
    return _raster_file(image, "PNG", mode, options)


def jpeg_file(image: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    """A JPEG of an array [H, W] or [H, W, 3] uint8; ``mode`` converts it first."""
    return _raster_file(image, "JPEG", mode, options)


def _raster_file(image: np.ndarray, kind: str, mode: str | None, options: dict[str, object]) -> bytes:
    picture = Image.fromarray(image)
    stream = BytesIO()
    (picture.convert(mode) if mode else picture).save(stream, kind, **options)
    return stream.getvalue()


def film_8bit(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """The radiograph as [rows, columns] uint8."""
    return film(rows, columns, bits=8).astype(np.uint8)


def colour_photo(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """A picture [rows, columns, 3] uint8 in colour."""
    gray = film_8bit(rows, columns)
    return np.stack([gray, gray[::-1], 255 - gray], axis=2)


def png_header(columns: int, rows: int) -> bytes:
    """A PNG whose header states a size and that has almost no pixel data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def deflate_bomb(inflated_bytes: int = 512 * 1024 * 1024) -> bytes:
    """A deflated DICOM file of about 0.5 MB whose data set inflates to ``inflated_bytes``."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    head = BytesIO()
    write_file_meta_info(head, meta)
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = [deflater.compress(b"\x08\x00\x60\x00OB\0\0" + struct.pack("<I", inflated_bytes))]
    block = b"\0" * (1024 * 1024)
    body += [deflater.compress(block) for _ in range(inflated_bytes // len(block))]
    return b"\0" * 128 + b"DICM" + head.getvalue() + b"".join(body) + deflater.flush()
