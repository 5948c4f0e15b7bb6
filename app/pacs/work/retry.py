"""Run claimed work and persist its outcome; retry while the database is down."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app import errors
from app.pacs.values import Problem
from app.telemetry import error_places, get_logger, milliseconds_since

_PERSIST_RETRY_S = 1.0
_OF_NODES = {errors.NodeRefused.code, errors.NodeUnavailable.code}
_PERMANENT = (errors.NodeRefused, errors.UnknownModel, errors.UnknownNode)

T = TypeVar("T")


async def persist_outcome(write: Callable[[], T]) -> T:
    """Write an outcome, and retry until the database is available.

    If that takes longer than the lease, another worker repeats the work, with the same result.
    """
    while True:
        try:
            return await asyncio.to_thread(write)
        except errors.StoreUnavailable:
            await asyncio.sleep(_PERSIST_RETRY_S)


async def run_attempt(work: Awaitable[T], timeout_s: float, subject: str) -> T | Problem:
    """The result of the work, or the problem: no exception leaves, so that one failure does not end the loop.

    Work fails after ``timeout_s``; the problem then states that ``subject`` took too long. An unexpected exception is a
    transient problem of the subject, by the name of its class.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except TimeoutError:
        return problem_of(errors.NodeUnavailable(f"{subject} took too long"))
    except errors.MedPatchNetError as error:
        return problem_of(error)
    except Exception as error:  # noqa: BLE001 - its message can quote an image and is left out
        get_logger().error("unexpected_error", error=type(error).__name__, at=error_places(error))
        return Problem(errors.NodeUnavailable.code, f"{subject} caused an unexpected error ({type(error).__name__})")


def log_attempt(event: str, problem: Problem | None, begin: float, **fields: str) -> None:
    """Log an attempt that began at ``begin`` (``perf_counter``): a warning if there is a problem."""
    log = get_logger().info if problem is None else get_logger().warning
    log(event, **fields, duration_ms=milliseconds_since(begin), **_fields_of(problem))


def _fields_of(problem: Problem | None) -> dict[str, str]:
    """Log fields of a problem: its code, and the detail of one with a node; the others can describe an image."""
    if problem is None:
        return {}
    return {"code": problem.code} | ({"detail": problem.detail} if problem.code in _OF_NODES else {})


def problem_of(error: errors.MedPatchNetError) -> Problem:
    """The problem of a domain error; permanent if no retry can succeed."""
    return Problem(error.code, error.detail, permanent=isinstance(error, _PERMANENT))
