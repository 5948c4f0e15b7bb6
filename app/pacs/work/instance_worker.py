"""Films: fetched or taken from the spool, analysed, their results put into the outbox."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from app.audit import AuditLog, Entry, Subject, subject_var
from app.errors import (
    DecoderCrashed,
    DecodeTimeout,
    ImageError,
    MedPatchNetError,
    ResultConflict,
    UnknownNode,
    UnreadableImage,
)
from app.pacs.store.inbox import Inbox, Order, PendingInstance
from app.pacs.transport.protocols import Source
from app.pacs.values import Problem
from app.pacs.work.instance_analysis import Analysed, InstanceAnalyzer
from app.pacs.work.retry import attempted, problem_of, settled
from app.telemetry import FilmOutcome, PacsMetrics, get_logger

_DECODES_TRIED = 3  # a decoder that died or hung may have been a victim of its neighbours
_PASSING = (DecoderCrashed, DecodeTimeout)


@dataclass(frozen=True)
class _Refusal:
    """Nothing can be made of a film, however often it is tried."""

    problem: Problem


class InstanceWorker:
    """Analyses films, one a step; several steps may run at once."""

    def __init__(
        self,
        inbox: Inbox,
        sources: Mapping[str, Source],
        targets: frozenset[str],
        analyst: InstanceAnalyzer,
        metrics: PacsMetrics,
        audit: AuditLog | None,
        longest_s: float,
    ) -> None:
        """``targets`` names the nodes results may go to. What takes longer than ``longest_s`` has failed."""
        self._inbox = inbox
        self._sources = sources
        self._targets = targets
        self._analyst = analyst
        self._metrics = metrics
        self._audit = audit
        self._longest_s = longest_s

    async def step(self) -> bool:
        """Analyse one film; False where none waits. Raises StoreUnavailable."""
        claimed = await asyncio.to_thread(self._inbox.claim, 1)
        for film in claimed:
            outcome, problem = await self._handle(film)
            self._metrics.films.labels(outcome).inc()
            if problem is not None:
                get_logger().warning("film_failed", film=film.claim.id, code=problem.code, outcome=outcome)
        return bool(claimed)

    async def _handle(self, film: PendingInstance) -> tuple[FilmOutcome, Problem | None]:
        """Do the work and settle it, exactly once."""
        made = await attempted(self._judged(film), self._longest_s, "the film")
        match made:
            case Analysed():
                try:
                    await settled(lambda: self._inbox.analysed(film, made.order, made.study_uid, made.results))
                except ResultConflict as error:
                    return await self._refuse(film, problem_of(error))
                return "analysed", None
            case None:
                await settled(lambda: self._inbox.end(film, "ignored"))
                return "ignored", None
            case _Refusal(problem):
                return await self._refuse(film, problem)
            case Problem():
                state = await settled(lambda: self._inbox.fail(film, made))
                return "dead" if state == "dead" else "retried", made

    async def _refuse(self, film: PendingInstance, problem: Problem) -> tuple[FilmOutcome, Problem]:
        await settled(lambda: self._inbox.end(film, "refused", problem))
        return "refused", problem

    async def _judged(self, film: PendingInstance) -> Analysed | _Refusal | None:
        """The work; a refusal where no later try can succeed. Raises what may pass."""
        try:
            return await self._audited(film)
        except ImageError as error:
            if isinstance(error, _PASSING) and film.claim.failures + 1 < _DECODES_TRIED:
                raise
            return _Refusal(problem_of(error))

    async def _audited(self, film: PendingInstance) -> Analysed | None:
        """The work, with its line in the audit log. Raises AuditUnavailable besides what the work raises."""
        subject = Subject()
        subject_var.set(subject)  # of this task alone
        outcome = "internal_error"
        try:
            made = await self._make(film, subject)
            outcome = "ok" if made is not None else "ignored"
        except MedPatchNetError as error:
            outcome = error.code
            raise
        finally:
            if self._audit is not None:
                entry = Entry(f"node:{film.source}", "analyse", outcome, film.claim.id, subject)
                await asyncio.to_thread(self._audit.append, entry)
        return made

    async def _make(self, film: PendingInstance, subject: Subject) -> Analysed | None:
        """The results of a film; None where no rule asks for any."""
        content = await asyncio.to_thread(self._inbox.content, film)
        if content is None:
            content = await self._fetch(film)
        subject.object_sha256 = (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()
        order = film.order or await asyncio.to_thread(self._analyst.decide, content, film.source)
        if order is None:
            return None
        self._require_target(order)
        made = await self._analyst.analyse(content, order)
        if made.sop_instance_uid != film.sop_instance_uid:
            raise UnreadableImage("the object is not the one it was announced as")
        return made

    async def _fetch(self, film: PendingInstance) -> bytes:
        source = self._sources.get(film.source)
        if source is None or film.study_uid is None or film.series_uid is None:
            raise UnknownNode("the source is no longer in the configuration")
        return await source.fetch(film.study_uid, film.series_uid, film.sop_instance_uid)

    def _require_target(self, order: Order) -> None:
        if order.target not in self._targets:
            raise UnknownNode("the target is no longer in the configuration")
