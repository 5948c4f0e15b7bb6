"""Two services on one device under load, while its memory is full and while one of them is killed."""

import asyncio
import os
import signal
from statistics import median

import torch

from tests.accelerator.context import Context
from tests.benchmarks.measure import Row, percentile
from tests.benchmarks.service import Load, load, ours
from tests.benchmarks.stages import jpeg_film

_CLIENTS = (8, 64)
_KEPT_FREE_BYTES = 64 * 2**20


def service(context: Context) -> None:
    """Rates and latencies of two services at once; failed requests when memory is full and when one is killed."""
    films = [jpeg_film(seed=seed) for seed in range(8)]
    requests = 16 if context.quick else 400
    with ours(device=context.device) as (one, _), ours(device=context.device) as (other, victim):
        for clients in _CLIENTS[:1] if context.quick else _CLIENTS:
            loads = asyncio.run(_both((one, other), films, clients, requests))
            context.add("Two services", _row(f"{clients} clients each", loads))
        if context.device == "cuda":
            filled = _fill_memory()
            loads = asyncio.run(_both((one, other), films, 8, requests))
            context.add("Two services", _row("device memory full", loads))
            del filled
            torch.cuda.empty_cache()
        loads = asyncio.run(_with_kill((one, other), films, requests, victim.pid))
        context.add("Two services", _row("one is killed; the other's requests", loads))


async def _both(urls: tuple[str, str], films: list[bytes], clients: int, requests: int) -> list[Load]:
    return list(await asyncio.gather(*(load(f"{url}/predict", None, films, clients, requests) for url in urls)))


async def _with_kill(urls: tuple[str, str], films: list[bytes], requests: int, pid: int) -> list[Load]:
    """The load of the surviving service while the other one is killed."""
    survivor = asyncio.create_task(load(f"{urls[0]}/predict", None, films, 8, requests))
    await asyncio.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    return [await survivor]


def _fill_memory() -> list[torch.Tensor]:
    """Take the free memory of the device but a rest that is too small for a batch."""
    free, _ = torch.cuda.mem_get_info()
    return [torch.empty(max(0, free - _KEPT_FREE_BYTES), dtype=torch.uint8, device="cuda")]


def _row(what: str, loads: list[Load]) -> Row:
    waits = [wait for part in loads for wait in part.waits]
    return {
        "load": what,
        "images/s": sum(part.rate for part in loads),
        "p50 ms": median(waits) * 1e3,
        "p95 ms": percentile(waits, 95) * 1e3,
        "failed": sum(part.failed for part in loads),
    }
