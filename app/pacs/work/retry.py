"""Trying claimed work and saying what became of it, whatever happens to the work or to the database meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app import errors
from app.pacs.values import Problem

_TRY_AGAIN_AFTER_S = 1.0
_FOR_GOOD = (errors.NodeRefused, errors.UnknownModel, errors.UnknownNode)

T = TypeVar("T")


async def settled(write: Callable[[], T]) -> T:
    """Write an outcome, as often as it takes: while the database cannot be written, who did the work keeps the result.

    Where that lasts longer than the lease, somebody else does the same work again, with the same result.
    """
    while True:
        try:
            return await asyncio.to_thread(write)
        except errors.StoreUnavailable:
            await asyncio.sleep(_TRY_AGAIN_AFTER_S)


async def attempted(work: Awaitable[T], longest_s: float, who: str) -> T | Problem:
    """What the work gave, or why it failed: no error leaves, so that one piece of work does not end the loop for all.

    Work that takes longer than ``longest_s`` has failed; the problem then says that ``who`` took too long.
    """
    try:
        async with asyncio.timeout(longest_s):
            return await work
    except TimeoutError:
        return problem_of(errors.NodeUnavailable(f"{who} took too long"))
    except errors.MedPatchNetError as error:
        return problem_of(error)
    except Exception as error:  # noqa: BLE001 - the error's own words may quote an image and are left out
        return Problem(errors.MedPatchNetError.code, f"an unexpected error ({type(error).__name__})")


def problem_of(error: errors.MedPatchNetError) -> Problem:
    """Why work failed, and whether for good."""
    return Problem(error.code, error.detail, permanent=isinstance(error, _FOR_GOOD))
