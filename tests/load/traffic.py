"""Soak and overload of a running service: every response is compared with the expected one, every request is counted.

``python -m tests.load.traffic soak --minutes 60`` measures the capacity, sends 80 % of it with 5 % bad inputs, and
kills a decode worker every minute. ``… overload --minutes 5`` sends ten times the capacity, then measures how soon the
service answers again. Both start a service and send a DICOM radiograph of 4 MB, or with ``--jpeg`` one of 720 px. They
send with aiohttp: httpx takes eight times the processor time, on the cores of the service.
"""

import argparse
import asyncio
import io
import json
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from aiohttp import ClientConnectionError, ClientSession, ClientTimeout, TCPConnector

from tests import factories as make
from tests.integration.conftest import RunningService, started
from tests.load.fuzz import resident_bytes

BAD_SHARE = 0.05
REFUSED = {429, 503}


@dataclass
class Report:
    """Numbers of requests by outcome, response times in seconds, and the capacity in radiographs a second.

    ``capacity`` was measured before the run, ``capacity_after`` after it.
    """

    capacity: float
    capacity_after: float = float("nan")
    sent: int = 0
    seconds: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    good: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    livez: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    recovered_s: float = float("nan")
    killed: int = 0

    @property
    def lost(self) -> int:
        return self.sent - sum(self.codes.values())

    @property
    def goodput(self) -> float:
        return len(self.good) / self.seconds

    def lines(self) -> list[str]:
        return [
            f"sent {self.sent} in {self.seconds:.0f} s: {dict(self.codes)}",
            f"capacity {self.capacity:.2f}/s, afterwards {self.capacity_after:.2f}/s, goodput {self.goodput:.2f}/s",
            f"wrong {self.wrong}, lost {self.lost}, workers killed {self.killed}",
            f"p99: answers {p99(self.good):.3f} s, refusals {p99(self.refused):.3f} s, /livez {p99(self.livez):.3f} s",
            f"answered again {self.recovered_s:.2f} s after the last, {self.memory}",
        ]

    @property
    def memory(self) -> str:
        """Resident memory of the service in the first and the last tenth of the time, and its maximum, in MiB."""
        tenth = max(1, len(self.resident) // 10)
        first, last = (sum(part) / len(part) / 2**20 for part in (self.resident[:tenth], self.resident[-tenth:]))
        return f"resident {first:.0f} MiB, at the end {last:.0f}, at most {max(self.resident) / 2**20:.0f}"


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else float("nan")


@dataclass(frozen=True)
class Answer:
    """A response: the status, the seconds of its Retry-After header, and the body."""

    status: int
    retry_after_s: float
    body: bytes

    @property
    def findings(self) -> list[dict[str, Any]]:
        return json.loads(self.body)["findings"]


class Traffic:
    """Requests to one service."""

    def __init__(self, client: ClientSession, film: bytes, pid: int) -> None:
        self._client, self._film, self._pid = client, film, pid
        self._known: list[dict[str, Any]] = []
        self._rng = random.Random(0)

    async def capacity(self, seconds: float, clients: int = 8) -> float:
        """Responses a second with ``clients`` that send in a closed loop; also stores the expected findings."""
        self._known = (await self._post(self._film)).findings
        end, done = monotonic() + seconds, 0

        async def work() -> None:
            nonlocal done
            while monotonic() < end:
                answer = await self._post(self._film)
                if answer.status in REFUSED:
                    await asyncio.sleep(answer.retry_after_s)
                done += answer.status == 200

        begin = monotonic()
        await asyncio.gather(*(work() for _ in range(clients)))
        return done / (monotonic() - begin)

    async def run(self, capacity: float, seconds: float, *, factor: float, bad_share: float, kills: bool) -> Report:
        """Send at ``factor`` times the capacity, in an open loop."""
        report = Report(capacity)
        background = [asyncio.create_task(self._watch(report))]
        if kills:
            background.append(asyncio.create_task(self._kill(report)))
        tasks: set[asyncio.Task[None]] = set()
        begin = monotonic()
        while (now := monotonic() - begin) < seconds:
            while report.sent < now * capacity * factor:
                report.sent += 1
                task = asyncio.create_task(self._one(report, self._rng.random() < bad_share))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.005)
        end = monotonic()
        await self._answered()
        report.recovered_s = monotonic() - end
        await asyncio.gather(*tasks)
        report.seconds = monotonic() - begin
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        return report

    async def _one(self, report: Report, is_bad: bool) -> None:
        content = self._film[: self._rng.randrange(1, len(self._film) // 2)] if is_bad else self._film
        begin = monotonic()
        try:
            answer = await self._post(content)
        except (ClientConnectionError, TimeoutError) as error:
            report.codes[type(error).__name__] += 1
            return
        seconds = monotonic() - begin
        report.codes[f"{'bad ' if is_bad else ''}{answer.status}"] += 1
        if answer.status in REFUSED:
            report.refused.append(seconds)
        elif is_bad:
            report.wrong += answer.status != 422
        elif answer.status == 200:
            report.good.append(seconds)
            report.wrong += not self._is_known(answer.findings)

    async def _answered(self) -> None:
        """Return when a radiograph is answered."""
        while (await self._post(self._film)).status != 200:
            await asyncio.sleep(0.1)

    async def _post(self, content: bytes) -> Answer:
        async with self._client.post("/predict", data=io.BytesIO(content)) as answer:
            return Answer(answer.status, float(answer.headers.get("Retry-After", 0)), await answer.read())

    def _is_known(self, findings: list[dict[str, Any]]) -> bool:
        return all(
            (one["logit"] is None and other["logit"] is None) or abs(one["logit"] - other["logit"]) < 1e-3
            for one, other in zip(findings, self._known, strict=True)
        )

    async def _watch(self, report: Report) -> None:
        while True:
            begin = monotonic()
            async with self._client.get("/livez", raise_for_status=True) as answer:
                await answer.read()
            report.livez.append(monotonic() - begin)
            report.resident.append(resident_bytes(self._pid))
            await asyncio.sleep(0.1)

    async def _kill(self, report: Report) -> None:
        """Kill a decode worker after two seconds, then one every minute."""
        while True:
            await asyncio.sleep(58 if report.killed else 2)
            workers = decode_workers(self._pid)
            if workers:
                os.kill(self._rng.choice(workers), signal.SIGKILL)
                report.killed += 1


def stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name: state, parent, … (proc(5)). Raises OSError if the process has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def decode_workers(parent: int) -> list[int]:
    """Process ids of the decode workers of a service."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_child = int(stat_fields(int(folder.name))[1]) == parent
            if is_child and b"app.decoding.worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


async def traffic(mode: str, service: RunningService, seconds: float, warm_s: float, film: bytes) -> Report:
    """One run: ``soak`` or ``overload``."""
    connector, retry_policy = TCPConnector(limit=2000), ClientTimeout(total=60)
    async with ClientSession(service.url, connector=connector, timeout=retry_policy) as client:
        run = Traffic(client, film, service.process.pid)
        capacity = await run.capacity(warm_s)
        if mode == "soak":
            return await run.run(capacity, seconds, factor=0.8, bad_share=BAD_SHARE, kills=True)
        report = await run.run(capacity, seconds, factor=10.0, bad_share=0.0, kills=False)
        report.capacity_after = await run.capacity(warm_s)  # the speed of a machine changes
        return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["soak", "overload"])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--jpeg", action="store_true", help="send a small radiograph")
    arguments = parser.parse_args()
    film = make.jpeg_file(make.film_8bit(720, 720)) if arguments.jpeg else make.example("RG1_J2KR.dcm")
    service = started()
    try:
        service.wait_until_ready()
        report = asyncio.run(traffic(arguments.mode, service, arguments.minutes * 60, 20.0, film))
    finally:
        service.stop()
    print("\n".join(report.lines()))


if __name__ == "__main__":
    main()
