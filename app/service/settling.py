"""Saying what became of claimed work, whatever happens to the database meanwhile."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from app import errors
from app.pacs.store.work import Problem

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


def problem_of(error: errors.MedPatchNetError) -> Problem:
    """Why work failed, and whether for good."""
    return Problem(error.code, error.detail, permanent=isinstance(error, _FOR_GOOD))


def unforeseen(error: Exception) -> Problem:
    """Why work failed where nobody foresaw it; the error's own words may quote an image and are left out."""
    return Problem(errors.MedPatchNetError.code, f"an unexpected error ({type(error).__name__})")
