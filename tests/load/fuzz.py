"""Mutated inputs against the decode pool, the way the service feeds it: ``python -m tests.load.fuzz --inputs 1000000``.

Seeds are the example films of pydicom and our own files. An input passes if it ends as a film or a refusal within 5 s,
whatever happens to the worker inside: codecs that die are contained, and counted as ``decoder_crashed``. It fails on
any other error, a hang, or where this process grows by over 100 MB.
"""

import argparse
import asyncio
import random
import resource
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from time import monotonic

from PIL import Image
from pydicom import uid

from app.errors import DecodeTimeout, ImageError
from app.imaging.radiograph import DecodeLimits
from app.imaging.workers import DecodePool
from tests import factories as make

HANG_S = 5.0
GROWTH_BYTES = 100 * 1024 * 1024
EXAMPLES = ("RG1_J2KI.dcm", "CT_small.dcm", "MR_small.dcm", "US1_UNCR.dcm", "reportsi.dcm", "emri_small.dcm")


@dataclass
class Tally:
    """What became of the inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    growth_bytes: int = 0

    @property
    def passed(self) -> bool:
        return not self.failures and self.growth_bytes < GROWTH_BYTES


def seeds() -> list[bytes]:
    """Small films of every family of encodings, and real files of other kinds."""
    film = make.film(31, 37)
    syntaxes = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian,
                uid.DeflatedExplicitVRLittleEndian)  # fmt: skip
    own = [make.write_dicom(make.chest_dataset(film), syntax) for syntax in syntaxes]
    larger = make.film(67, 71)
    compressed = (uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1)
    own += [make.compressed_dicom(make.encoded_frame(larger, syntax), syntax, larger) for syntax in compressed]
    gray = make.film_8bit(31, 37)
    own += [make.png_file(gray), make.png_file(film), make.jpeg_file(gray), make.png_file(make.colour_photo())]
    turned = BytesIO()
    Image.fromarray(gray).save(
        turned, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    )
    return [*own, turned.getvalue(), *(make.example(name) for name in EXAMPLES)]


def mutate(seed: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, repeat, remove or cut; mostly near the beginning, where headers are."""
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


async def fuzz(count: int, seed: int, workers: int) -> Tally:
    """Send ``count`` mutated inputs through a pool."""
    tally = Tally()
    sources = seeds()
    pool = DecodePool(workers, HANG_S, 1 << 30, DecodeLimits(pixels=8_000_000, inflated_bytes=1 << 26))
    pool.start()
    try:
        warmed = 0
        for start in range(0, count, 64):
            rng = random.Random(seed * 1_000_003 + start)
            inputs = [mutate(rng.choice(sources), rng) for _ in range(min(64, count - start))]
            await asyncio.gather(*(judge(pool, data, tally) for data in inputs))
            resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            warmed = warmed or resident
            tally.growth_bytes = resident - warmed
    finally:
        pool.close()
    return tally


async def judge(pool: DecodePool, data: bytes, tally: Tally) -> None:
    begin = monotonic()
    try:
        await pool.decode(data)
        outcome = "film"
    except DecodeTimeout as error:
        outcome = error.code
        tally.failures.append(f"{error.code}: {error.detail}: {data[:64].hex()}…")
    except ImageError as error:
        outcome = error.code
    except Exception as error:  # noqa: BLE001 - what nobody foresaw is what is looked for
        outcome = type(error).__name__
        tally.failures.append(f"{outcome}: {data[:64].hex()}…")
    tally.outcomes[outcome] += 1
    tally.slowest_s = max(tally.slowest_s, monotonic() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    begin = monotonic()
    tally = asyncio.run(fuzz(arguments.inputs, arguments.seed, arguments.workers))
    print(f"{sum(tally.outcomes.values())} inputs in {monotonic() - begin:.0f} s: {dict(tally.outcomes)}")
    print(f"slowest of a batch {tally.slowest_s:.2f} s, grown by {tally.growth_bytes / 2**20:.1f} MiB")
    print("\n".join(tally.failures[:50]) or "no failure")
    raise SystemExit(not tally.passed)


if __name__ == "__main__":
    main()
