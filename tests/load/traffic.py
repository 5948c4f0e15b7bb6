"""Soak and overload of a running service: every answer is compared with the known one, every request is accounted for.

``python -m tests.load.traffic soak --url URL --minutes 60`` at 80 % of the capacity it measures first, with 5 % bad
inputs; ``… overload --minutes 5`` at ten times of it. ``--kill`` names the pid of the service, one of whose decode
workers is then killed every minute.
"""

import argparse
import asyncio
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from tests import factories as make

BAD_SHARE = 0.05
REFUSED = {429, 503}


@dataclass
class Report:
    """What was sent, what came back, and how long it took, in seconds."""

    capacity: float
    sent: int = 0
    seconds: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    good: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    livez: list[float] = field(default_factory=list)
    killed: int = 0

    @property
    def lost(self) -> int:
        return self.sent - sum(self.codes.values())

    @property
    def goodput(self) -> float:
        return len(self.good) / self.seconds

    def lines(self) -> list[str]:
        return [
            f"capacity {self.capacity:.1f}/s, sent {self.sent} in {self.seconds:.0f} s: {dict(self.codes)}",
            f"wrong {self.wrong}, lost {self.lost}, goodput {self.goodput:.1f}/s, workers killed {self.killed}",
            f"p99: answers {p99(self.good):.3f} s, refusals {p99(self.refused):.3f} s, /livez {p99(self.livez):.3f} s",
        ]


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else float("nan")


class Traffic:
    """One run against one service."""

    def __init__(self, client: httpx.AsyncClient, film: bytes, pid: int | None) -> None:
        self._client, self._film, self._pid = client, film, pid
        self._known: list[dict[str, Any]] = []
        self._rng = random.Random(0)

    async def capacity(self, seconds: float, clients: int = 8) -> float:
        """Answers a second with a few clients that wait for each other's answers; notes the known answer."""
        self._known = (await self._client.post("/predict", content=self._film)).raise_for_status().json()["findings"]
        end, done = monotonic() + seconds, 0

        async def work() -> None:
            nonlocal done
            while monotonic() < end:
                answer = await self._client.post("/predict", content=self._film)
                done += answer.status_code == 200

        begin = monotonic()
        await asyncio.gather(*(work() for _ in range(clients)))
        return done / (monotonic() - begin)

    async def run(self, capacity: float, factor: float, seconds: float, bad_share: float) -> Report:
        """Send at ``factor`` times the capacity, whether answers come or not."""
        report = Report(capacity)
        background = [asyncio.create_task(self._watch(report)), asyncio.create_task(self._kill(report))]
        tasks: set[asyncio.Task[None]] = set()
        begin = monotonic()
        while (now := monotonic() - begin) < seconds:
            while report.sent < now * capacity * factor:
                report.sent += 1
                task = asyncio.create_task(self._one(report, self._rng.random() < bad_share))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.005)
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
            answer = await self._client.post("/predict", content=content)
        except httpx.TransportError as error:
            report.codes[type(error).__name__] += 1
            return
        seconds = monotonic() - begin
        report.codes[f"{'bad ' if is_bad else ''}{answer.status_code}"] += 1
        if answer.status_code in REFUSED:
            report.refused.append(seconds)
        elif is_bad:
            report.wrong += answer.status_code != 422
        elif answer.status_code == 200:
            report.good.append(seconds)
            report.wrong += not self._is_known(answer.json()["findings"])

    def _is_known(self, findings: list[dict[str, Any]]) -> bool:
        return all(
            (one["logit"] is None and other["logit"] is None) or abs(one["logit"] - other["logit"]) < 1e-3
            for one, other in zip(findings, self._known, strict=True)
        )

    async def _watch(self, report: Report) -> None:
        while True:
            begin = monotonic()
            (await self._client.get("/livez")).raise_for_status()
            report.livez.append(monotonic() - begin)
            await asyncio.sleep(0.1)

    async def _kill(self, report: Report) -> None:
        """Kill a decode worker every minute, the first after two seconds."""
        while self._pid is not None:
            await asyncio.sleep(58 if report.killed else 2)
            workers = decode_workers(self._pid)
            if workers:
                os.kill(self._rng.choice(workers), signal.SIGKILL)
                report.killed += 1


def decode_workers(parent: int) -> list[int]:
    """Pids of the decode workers of a service."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent and b"app.imaging.worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


async def traffic(mode: str, url: str, seconds: float, warm_s: float, pid: int | None) -> Report:
    """One run: ``soak`` or ``overload``."""
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits) as client:
        run = Traffic(client, make.example("RG1_J2KR.dcm"), pid)
        capacity = await run.capacity(warm_s)
        factor, bad_share = (0.8, BAD_SHARE) if mode == "soak" else (10.0, 0.0)
        return await run.run(capacity, factor, seconds, bad_share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["soak", "overload"])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kill", type=int, default=None)
    arguments = parser.parse_args()
    report = asyncio.run(traffic(arguments.mode, arguments.url, arguments.minutes * 60, 20.0, arguments.kill))
    print("\n".join(report.lines()))


if __name__ == "__main__":
    main()
