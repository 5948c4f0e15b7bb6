"""The use case of the HTTP API: request the analysis of a study, and follow its job."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

from app.errors import InvalidQuery, UnknownNode
from app.pacs.store.jobs import Analysis, JobReport, Jobs
from app.pacs.transport.protocols import is_uid
from app.service.models import ModelRegistry


class Analyses:
    """Requests and reports of jobs. Callers name nodes of the configuration, never addresses."""

    def __init__(
        self,
        jobs: Jobs,
        sources: Collection[str],
        targets: Collection[str],
        models: ModelRegistry,
        wake: Callable[[], None],
    ) -> None:
        self._jobs = jobs
        self._sources = sources
        self._targets = targets
        self._models = models
        self._wake = wake

    async def open(self, owner: str, analysis: Analysis, idempotency_key: str | None) -> str:
        """Store an analysis durably and return the id of its job.

        Raises InvalidQuery for an invalid UID, UnknownNode, UnknownModel, IdempotencyConflict, SpoolFull,
        StoreUnavailable.
        """
        if not is_uid(analysis.study_uid):
            raise InvalidQuery("the study is not a valid UID")
        _require(analysis.source, self._sources, "source", "to read from")
        _require(analysis.order.target, self._targets, "target", "to write to")
        model = self._models.get(analysis.order.model).manifest.name
        analysis = replace(analysis, order=replace(analysis.order, model=model))
        identity = await asyncio.to_thread(self._jobs.open, owner, analysis, idempotency_key)
        self._wake()
        return identity

    async def report(self, identity: str, owner: str) -> JobReport:
        """The report of a job of an owner. Raises JobNotFound, StoreUnavailable."""
        return await asyncio.to_thread(self._jobs.report, identity, owner)


def _require(name: str, known: Collection[str], role: str, purpose: str) -> None:
    if name not in known:
        available = ", ".join(sorted(known)) or "none"
        raise UnknownNode(f"{role}: no such node {purpose}; available: {available}")
