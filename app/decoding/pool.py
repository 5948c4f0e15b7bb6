"""The pool of processes that decode, so that a codec can hang, crash or bloat without the service noticing.

The processes are started as plain modules, not through ``multiprocessing``: its children import the parent's main
module, which would pull the network and the web framework into each of them, and its exit handlers wait for them.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic

from app.decoding.protocol import Channel, receive_radiograph
from app.errors import ConfigurationError, DecoderCrashed, DecodeTimeout, Draining, NotReady
from app.imaging.radiograph import DecodeLimits, Radiograph

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
_START_TIMEOUT_S = 60.0
_READY_LENGTH = 16


class DecodePool:
    """Decodes images in worker processes. ``decode`` is for one event loop; everything else is safe from any thread.

    As many threads as workers wait for answers, so a thread always finds a worker idle. A worker that timed out or died
    is replaced at once; its successor imports the codecs while the others work on. An image whose worker was killed
    from outside is tried once more.
    """

    def __init__(self, workers: int, timeout_s: float, memory_bytes: int, limits: DecodeLimits) -> None:
        """Make a pool, without starting it.

        Args:
            workers: number of processes.
            timeout_s: longest decode of one image, from when a worker takes it.
            memory_bytes: address space of one worker on top of what it has when idle.
            limits: bounds of one decode.
        """
        self._size = workers
        self._timeout_s = timeout_s
        self._limits = limits
        self._arguments = [str(value) for value in (memory_bytes, timeout_s, limits.pixels, limits.inflated_bytes)]
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._lock = Lock()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._closed = False
        self._restarts = 0

    @property
    def live_workers(self) -> int:
        """Number of worker processes that run now."""
        with self._lock:
            return sum(worker.is_alive for worker in self._workers)

    @property
    def restarts(self) -> int:
        """Number of workers that were replaced since the start."""
        with self._lock:
            return self._restarts

    def start(self) -> None:
        """Start the workers and wait until they are ready. Raises ConfigurationError where one does not get ready."""
        with self._lock:
            self._workers = [_Worker(self._arguments) for _ in range(self._size)]
        deadline = monotonic() + _START_TIMEOUT_S
        for worker in self._workers:
            try:
                worker.wait_until_ready(deadline)
            except (EOFError, OSError):
                self.close()
                raise ConfigurationError(
                    "a decode worker does not start; it may be allowed too little memory"
                ) from None
            self._idle.put(worker)

    async def decode(self, data: bytes) -> Radiograph:
        """Decode one image in a worker; what ``decode_image`` raises is raised here.

        Also raises DecodeTimeout, DecoderCrashed, NotReady before the start and Draining once closed. Being cancelled
        leaves the worker to finish; its answer is dropped.
        """
        with self._lock:
            if self._closed:
                raise _draining()
            if not self._workers:
                raise NotReady("the decode workers are not started")
            outcome = self._threads.submit(self._decode, data)
        return await asyncio.wrap_future(outcome)

    def replace_dead(self) -> None:
        """Replace workers that died while idle. Those at work are the business of who waits for them."""
        for _ in range(self._size):
            try:
                worker = self._idle.get_nowait()
            except Empty:
                return
            try:
                if not worker.is_alive:
                    worker = self._replace(worker)
            except Draining:
                pass
            finally:
                self._idle.put(worker)

    def close(self) -> None:
        """End all workers; what waits or is being decoded is answered with Draining. May be called twice."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=True)
        for worker in workers:
            worker.discard()

    def _decode(self, data: bytes) -> Radiograph:
        """In a thread: one job with one worker, which is idle again, or replaced, before the outcome is known."""
        worker = self._idle.get()
        try:
            if not worker.is_alive:  # by our close, or killed while idle: not the fault of this image
                worker = self._replace(worker)
            try:
                return worker.decode(data, self._timeout_s, self._limits)
            except DecoderCrashed:
                if not worker.was_killed:
                    raise
            worker = self._replace(worker)  # no codec kills its process: not the fault of this image either
            return worker.decode(data, self._timeout_s, self._limits)
        except (DecodeTimeout, DecoderCrashed, NotReady):
            worker = self._replace(worker)
            raise
        finally:
            self._idle.put(worker)

    def _replace(self, worker: "_Worker") -> "_Worker":
        """Kill a worker and start its successor. Raises Draining once closed."""
        with self._lock:
            if self._closed:
                raise _draining() from None
            worker.kill()
            worker.discard()
            successor = _Worker(self._arguments)
            self._workers[self._workers.index(worker)] = successor
            self._restarts += 1
        return successor


class _Worker:
    """One worker process and the channel to it. Used by one thread at a time, but for ``kill`` and ``is_alive``."""

    def __init__(self, arguments: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        # -P: the working directory is the operator's and may hold modules of any name.
        command = [sys.executable, "-P", "-m", "app.decoding.worker", str(theirs.fileno()), *arguments]
        paths = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        # One thread each: the workers are the parallelism, and every thread costs address space.
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # codecs print what they dislike about a file
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is for the service, which ends its workers itself
                env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
            )
        self._channel = Channel(ours)
        self._ready = False

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def was_killed(self) -> bool:
        """Whether someone else ended it: an operator, or the kernel for want of memory."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return self._process.returncode == -signal.SIGKILL

    def wait_until_ready(self, deadline: float) -> None:
        """Raises EOFError or OSError (TimeoutError with it) where the process does not come up."""
        if not self._ready:
            self._channel.receive(_READY_LENGTH, deadline)
            self._ready = True

    def decode(self, data: bytes, timeout_s: float, limits: DecodeLimits) -> Radiograph:
        try:
            self.wait_until_ready(monotonic() + _START_TIMEOUT_S)
        except (EOFError, OSError):  # not the fault of these bytes: it has not seen them
            raise NotReady("a decode worker does not start") from None
        try:
            deadline = monotonic() + timeout_s
            self._channel.send(data, deadline)
            return receive_radiograph(self._channel, limits, deadline)
        except TimeoutError:
            raise DecodeTimeout(f"decoding took longer than {timeout_s:g} s and was stopped") from None
        except (EOFError, OSError):
            raise DecoderCrashed("the decoder died on these bytes; it was replaced") from None

    def kill(self) -> None:
        self._process.kill()

    def discard(self) -> None:
        """Reap a killed process and hang up."""
        self._process.wait()
        self._channel.close()


def _draining() -> Draining:
    return Draining("the service is shutting down and decodes no more images")
