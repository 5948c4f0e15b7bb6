"""Inputs of the fuzzers: small files of every kind that the service reads, and mutations of them."""

import json
import random
from collections.abc import Iterator
from io import BytesIO

from PIL import Image
from pydicom import uid

from app.patchnet.findings import FINDING_NAMES
from tests import factories as make

EXAMPLES = ("RG1_J2KI.dcm", "CT_small.dcm", "MR_small.dcm", "US1_UNCR.dcm", "reportsi.dcm", "emri_small.dcm")
BATCH = 64


def film_seeds() -> list[bytes]:
    """Small radiographs in every family of encodings, and real files of other kinds."""
    film = make.film(67, 71)
    syntaxes = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian,
                uid.DeflatedExplicitVRLittleEndian)  # fmt: skip
    own = [make.write_dicom(make.chest_dataset(film), syntax) for syntax in syntaxes]
    larger = make.film(67, 71)
    compressed = (uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1)
    own += [make.compressed_dicom(make.encoded_frame(larger, syntax), syntax, larger) for syntax in compressed]
    gray = make.film_8bit(67, 71)
    own += [make.png_file(gray), make.png_file(film), make.jpeg_file(gray), make.png_file(make.colour_photo())]
    turned = BytesIO()
    Image.fromarray(gray).save(
        turned, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    )
    return [*own, turned.getvalue(), *(make.example(name) for name in EXAMPLES)]


def question_seeds() -> list[bytes]:
    """Bodies of ``/whatif``."""
    grids = [{"finding": name, "patch_logits": [[0.5] * 8] * 8} for name in FINDING_NAMES]
    questions = (
        {"grids": grids, "remove": [[0, 0], [7, 7]], "rule": "drop"},
        {"grids": grids[:2], "remove": [[1, 2]], "rule": "zero"},
        {"request_id": "0123456789abcdef", "remove": [[3, 3]]},
    )
    return [json.dumps(question).encode() for question in questions]


def mutate(seed: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, repeat, remove or truncate; mostly near the beginning, where the headers are."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4, 8, 16))):
        if not data:
            break
        reach = len(data) if rng.random() < 0.2 else min(len(data), 2000)
        place, length = rng.randrange(reach), rng.choice((1, 1, 2, 4, 8, 64))
        match rng.randrange(6):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place : place + length] = rng.randbytes(length)
            case 2:
                data[place : place + length] = rng.choice((b"\0", b"\xff", b"\x7f")) * length
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = data[place : place + length] * rng.choice((1, 2, 100))
            case _:
                if rng.random() < 0.3:
                    del data[place + 1 :]
    return bytes(data)


def batches(count: int, seed: int) -> Iterator[random.Random]:
    """A random generator for every ``BATCH`` of ``count`` inputs; the same seed gives the same inputs."""
    return (random.Random(seed * 1_000_003 + start) for start in range(0, count, BATCH))
