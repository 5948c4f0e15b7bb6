"""Queries the instances of the study of a job, and queues them for analysis."""

import asyncio
from collections.abc import Mapping
from time import perf_counter

from app.errors import StudyNotFound, UnknownNode
from app.pacs.store.jobs import Jobs, PendingJob
from app.pacs.transport.protocols import Source
from app.pacs.values import FoundStudy, Problem
from app.pacs.work.retry import log_attempt, persist_outcome, run_attempt
from app.telemetry import JobOutcome, PacsMetrics


class StudyWorker:
    """Queries the instances of one job in each step."""

    def __init__(self, jobs: Jobs, sources: Mapping[str, Source], metrics: PacsMetrics, timeout_s: float) -> None:
        """A query fails after ``timeout_s``."""
        self._jobs = jobs
        self._sources = sources
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def step(self) -> bool:
        """Query the instances of one job; returns False if none is due. Raises StoreUnavailable."""
        claimed = await asyncio.to_thread(self._jobs.claim, 1)
        for job in claimed:
            begin = perf_counter()
            outcome, problem = await self._expand(job)
            self._metrics.jobs.labels(outcome).inc()
            fields = {"job": job.claim.id, "node": job.analysis.source, "outcome": outcome}
            log_attempt("job_expanded" if problem is None else "job_problem", problem, begin, **fields)
        return bool(claimed)

    async def _expand(self, job: PendingJob) -> tuple[JobOutcome, Problem | None]:
        """Query the instances of a job and persist the outcome, exactly once."""
        found = await run_attempt(self._find(job), self._timeout_s, "the source")
        if isinstance(found, FoundStudy):
            await persist_outcome(lambda: self._jobs.expand(job, found))
            return "expanded", found.skipped
        if found.code == StudyNotFound.code:
            await persist_outcome(lambda: self._jobs.refuse(job, found))
            return "not_found", found
        state = await persist_outcome(lambda: self._jobs.fail(job, found))
        return "dead" if state == "dead" else "retried", found

    async def _find(self, job: PendingJob) -> FoundStudy:
        source = self._sources.get(job.analysis.source)
        if source is None:
            raise UnknownNode("the source is no longer in the configuration")
        return await source.find_instances(job.analysis.study_uid)
