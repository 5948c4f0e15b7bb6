"""Expansion of jobs: queries the instances of a study."""

import asyncio
from collections.abc import Mapping

from app.errors import UnknownNode
from app.pacs.store.jobs import Jobs, PendingJob
from app.pacs.transport.protocols import Source
from app.pacs.values import FoundInstance, Problem
from app.pacs.work.retry import persist_outcome, run_attempt
from app.telemetry import get_logger


class StudyWorker:
    """Queries the instances of one job in each step."""

    def __init__(self, jobs: Jobs, sources: Mapping[str, Source], timeout_s: float) -> None:
        """A query fails after ``timeout_s``."""
        self._jobs = jobs
        self._sources = sources
        self._timeout_s = timeout_s

    async def step(self) -> bool:
        """Query the instances of one job; returns False if none is due. Raises StoreUnavailable."""
        claimed = await asyncio.to_thread(self._jobs.claim, 1)
        for job in claimed:
            await self._expand(job)
        return bool(claimed)

    async def _expand(self, job: PendingJob) -> None:
        found = await run_attempt(self._find(job), self._timeout_s, "the source")
        if not isinstance(found, Problem):
            await persist_outcome(lambda: self._jobs.expand(job, found))
            return
        state = await persist_outcome(lambda: self._jobs.fail(job, found))
        get_logger().warning("job_failed", job=job.claim.id, code=found.code, state=state)

    async def _find(self, job: PendingJob) -> list[FoundInstance]:
        source = self._sources.get(job.analysis.source)
        if source is None:
            raise UnknownNode("the source is no longer in the configuration")
        return await source.find_instances(job.analysis.study_uid)
