"""Jobs: a study of an archive becomes films to fetch."""

import asyncio
from collections.abc import Mapping

from app.errors import UnknownNode
from app.pacs.store.jobs import Jobs, PendingJob
from app.pacs.transport.protocols import Source
from app.pacs.values import FoundInstance, Problem
from app.pacs.work.retry import attempted, settled
from app.telemetry import get_logger


class StudyWorker:
    """Looks up the films of jobs, one job a step."""

    def __init__(self, jobs: Jobs, sources: Mapping[str, Source], longest_s: float) -> None:
        """A look-up that takes longer than ``longest_s`` has failed."""
        self._jobs = jobs
        self._sources = sources
        self._longest_s = longest_s

    async def step(self) -> bool:
        """Look up the films of one job; False where none waits. Raises StoreUnavailable."""
        claimed = await asyncio.to_thread(self._jobs.claim, 1)
        for job in claimed:
            await self._expand(job)
        return bool(claimed)

    async def _expand(self, job: PendingJob) -> None:
        found = await attempted(self._find(job), self._longest_s, "the source")
        if not isinstance(found, Problem):
            await settled(lambda: self._jobs.expand(job, found))
            return
        state = await settled(lambda: self._jobs.fail(job, found))
        get_logger().warning("job_failed", job=job.claim.id, code=found.code, state=state)

    async def _find(self, job: PendingJob) -> list[FoundInstance]:
        source = self._sources.get(job.analysis.source)
        if source is None:
            raise UnknownNode("the source is no longer in the configuration")
        return await source.find_films(job.analysis.study_uid)
