"""Mutated inputs against the decoders or a whole service: ``python -m tests.load.fuzz [--service] --inputs 1000000``.

Without ``--service`` the inputs go to a decode pool, as in the service; with it, over HTTP to every route of a real
server that accepts a body. An input passes if it ends as a result or a refusal within 5 s. A decode worker can crash:
the crash is contained, and counted as ``decoder_crashed``. An input fails on any other error, on a 500 and on a hang;
the run fails where the process ends, or grows by more than 100 MB. An input that took too long is decoded again alone
and by processor time, because a busy machine is not a hang. Failed inputs are kept as files.
"""

import argparse
import asyncio
import hashlib
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

import httpx

from app.decoding.pool import DecodePool
from app.errors import DecodeTimeout, ImageError, NotReady
from app.imaging.radiograph import DecodeLimits
from tests.integration.conftest import RunningService, started
from tests.load.mutations import BATCH, batches, film_seeds, mutate, question_seeds

HANG_S = 5.0
GROWTH_BYTES = 100 * 1024 * 1024
KEPT = Path(tempfile.gettempdir()) / "medpatchnet-fuzz"
_ALONE = """
import sys, time
from app.errors import ImageError
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
data, begin = sys.stdin.buffer.read(), time.process_time()
try:
    decode_image(data, DecodeLimits(pixels=8_000_000, inflated_bytes=1 << 26))
except ImageError:
    pass
sys.exit(3 if time.process_time() - begin > float(sys.argv[1]) else 0)
"""
_SETTLED_AFTER = 1024
_REPORT_EVERY = 16 * 1024


@dataclass
class Tally:
    """Outcomes of the inputs. ``slowest_s`` includes waiting for the other inputs of a batch."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)

    @property
    def delayed(self) -> int:
        return self.outcomes["delayed"]

    @property
    def count(self) -> int:
        return sum(self.outcomes.values())

    @property
    def growth_bytes(self) -> int:
        return max(self.resident) - self.resident[0] if self.resident else 0

    @property
    def passed(self) -> bool:
        return not self.failures and self.growth_bytes < GROWTH_BYTES

    def lines(self, seconds: float) -> list[str]:
        return [
            f"{self.count} inputs in {seconds:.0f} s: {dict(self.outcomes.most_common())}",
            f"slowest of a batch {self.slowest_s:.2f} s, delayed by the machine {self.delayed}, "
            f"grown by {self.growth_bytes / 2**20:.1f} MiB",
            *(self.failures[:50] or ["no crash, no hang, no 500"]),
        ]


class Target(Protocol):
    """What is tested. The sender returns the outcome; TimeoutError is a hang, any other exception a failure."""

    pid: int

    async def send(self, rng: random.Random) -> tuple[bytes, Callable[[], Awaitable[str]]]:
        """An input made from ``rng``, and a function that sends it."""
        ...


class Decoders:
    """A decode pool."""

    pid = os.getpid()

    def __init__(self, pool: DecodePool) -> None:
        self._pool, self._seeds = pool, film_seeds()

    async def send(self, rng: random.Random) -> tuple[bytes, Callable[[], Awaitable[str]]]:
        data = mutate(rng.choice(self._seeds), rng)

        async def decode() -> str:
            try:
                await self._pool.decode(data)
            except (DecodeTimeout, NotReady):
                raise TimeoutError from None
            except ImageError as error:
                return error.code
            return "film"

        return data, decode


class Service:
    """A real server that receives mutated bodies and queries."""

    FILM_ROUTES = ("/predict", "/predict?grids=true", "/explain?class=all", "/explain?class=Edema&format=png",
                   "/report?object=sr", "/report?object=sc", "/report?object=gsps", "/film")  # fmt: skip
    TYPES = ("application/dicom", "application/octet-stream", "image/png", "image/jpeg")

    def __init__(self, service: RunningService, client: httpx.AsyncClient) -> None:
        self.pid = service.process.pid
        self._client = client
        self._films, self._questions = film_seeds(), question_seeds()

    async def send(self, rng: random.Random) -> tuple[bytes, Callable[[], Awaitable[str]]]:
        if rng.random() < 0.1:
            path, kind, data = "/whatif", "application/json", mutate(rng.choice(self._questions), rng)
        else:
            path, kind = rng.choice(self.FILM_ROUTES), rng.choice(self.TYPES)
            data = mutate(rng.choice(self._films), rng)
        if "?" in path and rng.random() < 0.1:
            route, _, query = path.partition("?")
            path = route + "?" + mutate(query.encode(), rng).hex("%").join(("%", ""))

        async def post() -> str:
            answer = await self._client.post(path, content=data, headers={"Content-Type": kind})
            code = "" if answer.is_success else answer.json()["type"].rpartition(":")[2]
            if code in {"decode_timeout", "not_ready"}:
                raise TimeoutError
            if answer.status_code >= 500 and code not in {"queue_full", "deadline_exceeded"}:
                raise AssertionError(f"{path} {answer.status_code} {code}")
            return f"{answer.status_code} {code}".strip()

        return data, post


async def judge(target: Target, rng: random.Random, tally: Tally) -> None:
    data, send = await target.send(rng)
    begin = monotonic()
    try:
        tally.outcomes[await send()] += 1
    except TimeoutError:
        is_hang = await asyncio.to_thread(hangs, data)
        tally.outcomes["hang" if is_hang else "delayed"] += 1
        if is_hang:
            tally.failures.append(f"hangs: {keep(data)}")
    except Exception as error:  # noqa: BLE001 - unforeseen errors are the purpose
        tally.outcomes["failure"] += 1
        tally.failures.append(f"{type(error).__name__}: {error}: {keep(data)}")
    tally.slowest_s = max(tally.slowest_s, monotonic() - begin)


def hangs(data: bytes) -> bool:
    """Whether decoding takes more than ``HANG_S`` seconds of processor time, or does not end."""
    try:
        command = [sys.executable, "-c", _ALONE, str(HANG_S)]
        return subprocess.run(command, input=data, timeout=600, check=False).returncode == 3
    except subprocess.TimeoutExpired:
        return True


def keep(data: bytes) -> Path:
    """Write an input; the path of the file."""
    KEPT.mkdir(exist_ok=True)
    path = KEPT / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


async def feed(target: Target, count: int, seed: int, end: float) -> Tally:
    """Send ``count`` inputs, or as many as fit before ``end`` on the monotonic clock."""
    tally, begin = Tally(), monotonic()
    for rng in batches(count, seed):
        await asyncio.gather(*(judge(target, rng, tally) for _ in range(min(BATCH, count - tally.count))))
        if tally.count >= _SETTLED_AFTER:
            tally.resident.append(resident_bytes(target.pid))
        if tally.count % _REPORT_EVERY == 0:
            print("\n".join(tally.lines(monotonic() - begin)), file=sys.stderr, flush=True)
        if monotonic() >= end:
            break
    return tally


def resident_bytes(pid: int) -> int:
    """Resident memory of a process. Raises OSError if it has ended."""
    pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def fuzz_decoders(count: int, seed: int, workers: int, end: float = float("inf")) -> Tally:
    """Send mutated files to a decode pool."""
    pool = DecodePool(workers, HANG_S, 1 << 30, DecodeLimits(pixels=8_000_000, inflated_bytes=1 << 26))
    pool.start()
    try:
        return await feed(Decoders(pool), count, seed, end)
    finally:
        pool.close()


async def fuzz_service(service: RunningService, count: int, seed: int, end: float = float("inf")) -> Tally:
    """Send mutated requests to a service."""
    async with httpx.AsyncClient(base_url=service.url, timeout=600, trust_env=False) as client:
        return await feed(Service(service, client), count, seed, end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", action="store_true", help="test a whole service instead of the decoders")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    begin = monotonic()
    end = begin + 60 * arguments.minutes
    if arguments.service:
        service = started(decode_workers=arguments.workers, decode_timeout_s=HANG_S)
        try:
            service.wait_until_ready()
            tally = asyncio.run(fuzz_service(service, arguments.inputs, arguments.seed, end))
        finally:
            service.stop()
    else:
        tally = asyncio.run(fuzz_decoders(arguments.inputs, arguments.seed, arguments.workers, end))
    print("\n".join(tally.lines(monotonic() - begin)))
    raise SystemExit(not tally.passed)


if __name__ == "__main__":
    main()
