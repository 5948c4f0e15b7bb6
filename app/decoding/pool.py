"""A pool of decode processes, so that a codec that hangs, crashes or exhausts memory does not affect the service.

The processes are plain modules, not children of ``multiprocessing``: those import the parent's main module, which would
load the model and the web framework into each of them, and its exit handlers wait for them.
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

from app.decoding.protocol import Channel, limits_as_argument, receive_radiograph
from app.errors import ConfigurationError, DecoderCrashed, DecodeTimeout, Draining, NotReady
from app.imaging.radiograph import DecodeLimits, Radiograph

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
_START_TIMEOUT_S = 60.0
_READY_LENGTH = 16


class DecodePool:
    """Decodes images in worker processes. ``decode`` belongs to one event loop; all other methods are thread-safe.

    There are as many threads as workers, so a thread always finds an idle worker. A worker that timed out or died is
    replaced at once; the new one imports the codecs while the others continue. An image whose worker was killed from
    outside is decoded once more.
    """

    def __init__(self, workers: int, timeout_s: float, memory_bytes: int, limits: DecodeLimits) -> None:
        """Create a pool without starting it.

        Args:
            workers: number of processes.
            timeout_s: maximum time for one image, seconds, from when a worker takes it.
            memory_bytes: address space of one worker in addition to that of an idle one.
            limits: bounds of one decode.
        """
        self._size = workers
        self._timeout_s = timeout_s
        self._limits = limits
        self._arguments = [str(memory_bytes), str(timeout_s), limits_as_argument(limits)]
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._lock = Lock()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._closed = False
        self._restarts = 0

    @property
    def live_workers(self) -> int:
        """Number of running worker processes."""
        with self._lock:
            return sum(worker.is_alive for worker in self._workers)

    @property
    def restarts(self) -> int:
        """Number of workers replaced since the start."""
        with self._lock:
            return self._restarts

    def start(self) -> None:
        """Start the workers and wait until they are ready. Raises ConfigurationError where one fails to start."""
        with self._lock:
            self._workers = [_Worker(self._arguments) for _ in range(self._size)]
        deadline = monotonic() + _START_TIMEOUT_S
        for worker in self._workers:
            try:
                worker.wait_until_ready(deadline)
            except (EOFError, OSError):
                self.close()
                raise ConfigurationError(
                    "a decode worker does not start; possibly its memory limit is too low"
                ) from None
            self._idle.put(worker)

    async def decode(self, data: bytes) -> Radiograph:
        """Decode one image in a worker.

        Raises the errors of ``decode_image``, DecodeTimeout, DecoderCrashed, NotReady before the start and Draining
        after ``close``. After a cancellation the worker finishes the image and its answer is dropped.
        """
        with self._lock:
            if self._closed:
                raise _draining()
            if not self._workers:
                raise NotReady("the decode workers have not been started")
            outcome = self._threads.submit(self._decode, data)
        return await asyncio.wrap_future(outcome)

    def replace_dead(self) -> None:
        """Replace workers that died while idle. A busy worker is replaced by the thread that waits for it."""
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
        """Stop all workers; waiting and running images get Draining. Idempotent."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=True)
        for worker in workers:
            worker.discard()

    def _decode(self, data: bytes) -> Radiograph:
        """Decode one image in a thread. The worker is idle again, or replaced, before the outcome is returned."""
        worker = self._idle.get()
        try:
            if not worker.is_alive:  # closed, or killed while idle: not caused by this image
                worker = self._replace(worker)
            try:
                return worker.decode(data, self._timeout_s, self._limits)
            except DecoderCrashed:
                if not worker.was_killed:
                    raise
            worker = self._replace(worker)  # no codec sends SIGKILL: not caused by this image
            return worker.decode(data, self._timeout_s, self._limits)
        except (DecodeTimeout, DecoderCrashed, NotReady):
            worker = self._replace(worker)
            raise
        finally:
            self._idle.put(worker)

    def _replace(self, worker: "_Worker") -> "_Worker":
        """Kill a worker and start a new one in its place. Raises Draining after ``close``."""
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
    """One worker process and its channel. Used by one thread at a time, except ``kill`` and ``is_alive``."""

    def __init__(self, arguments: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        # -P: the working directory belongs to the operator and can hold modules of any name.
        command = [sys.executable, "-P", "-m", "app.decoding.worker", str(theirs.fileno()), *arguments]
        paths = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        # One thread each: several workers run in parallel, and every thread costs address space.
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # codecs print complaints about a file
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches the service only, which stops its workers itself
                env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
            )
        self._channel = Channel(ours)
        self._ready = False

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def was_killed(self) -> bool:
        """Whether it was killed from outside: by an operator, or by the kernel when memory runs out."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return self._process.returncode == -signal.SIGKILL

    def wait_until_ready(self, deadline: float) -> None:
        """Wait for the ready message. Raises EOFError or OSError (including TimeoutError) where it does not arrive."""
        if not self._ready:
            self._channel.receive(_READY_LENGTH, deadline)
            self._ready = True

    def decode(self, data: bytes, timeout_s: float, limits: DecodeLimits) -> Radiograph:
        try:
            self.wait_until_ready(monotonic() + _START_TIMEOUT_S)
        except (EOFError, OSError):  # not caused by these bytes: they were not sent yet
            raise NotReady("a decode worker does not start") from None
        try:
            deadline = monotonic() + timeout_s
            self._channel.send(data, deadline)
            return receive_radiograph(self._channel, limits, deadline)
        except TimeoutError:
            raise DecodeTimeout(f"decoding exceeded {timeout_s:g} s and was stopped") from None
        except (EOFError, OSError):
            raise DecoderCrashed("the decoder crashed on this file and was replaced") from None

    def kill(self) -> None:
        self._process.kill()

    def discard(self) -> None:
        """Reap a killed process and close the channel."""
        self._process.wait()
        self._channel.close()


def _draining() -> Draining:
    return Draining("the service is shutting down; no further images are decoded")
