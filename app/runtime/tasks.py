"""Tasks of the event loop that the composition root starts."""

import asyncio
from contextlib import suppress


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
