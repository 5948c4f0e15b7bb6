"""Analysis of instances: read from the spool or retrieved, analysed, results put into the outbox."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter

from app.audit import AuditLog, Entry, Subject, subject_var
from app.errors import (
    AnalysisFailed,
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
from app.pacs.work.retry import log_attempt, persist_outcome, problem_of, run_attempt
from app.telemetry import FilmOutcome, PacsMetrics, error_places, get_logger

_MAX_ATTEMPTS = 3  # a crash, timeout or unexpected error can be caused by the load of other images
_TRANSIENT = (DecoderCrashed, DecodeTimeout)
_EVENTS: dict[FilmOutcome, str] = {
    "analysed": "instance_analysed",
    "incomplete": "instance_analysed",
    "ignored": "instance_ignored",
    "refused": "instance_refused",
    "retried": "instance_failed",
    "dead": "instance_failed",
}


@dataclass(frozen=True)
class _Refusal:
    """The instance cannot be analysed, and no retry can change that."""

    problem: Problem


class InstanceWorker:
    """Analyses one instance in each step; several steps can run concurrently."""

    def __init__(
        self,
        inbox: Inbox,
        sources: Mapping[str, Source],
        targets: frozenset[str],
        analyzer: InstanceAnalyzer,
        metrics: PacsMetrics,
        audit: AuditLog | None,
        timeout_s: float,
    ) -> None:
        """``targets`` are the names of the possible targets. An attempt fails after ``timeout_s``."""
        self._inbox = inbox
        self._sources = sources
        self._targets = targets
        self._analyzer = analyzer
        self._metrics = metrics
        self._audit = audit
        self._timeout_s = timeout_s

    async def step(self) -> bool:
        """Analyse one instance; returns False if none is due. Raises StoreUnavailable."""
        claimed = await asyncio.to_thread(self._inbox.claim, 1)
        for instance in claimed:
            begin = perf_counter()
            outcome, problem = await self._handle(instance)
            self._metrics.films.labels(outcome).inc()
            fields = {"instance": instance.claim.id, "node": instance.source, "outcome": outcome}
            log_attempt(_EVENTS[outcome], problem, begin, **fields)
        return bool(claimed)

    async def _handle(self, instance: PendingInstance) -> tuple[FilmOutcome, Problem | None]:
        """Analyse an instance and persist its outcome, exactly once."""
        made = await run_attempt(self._analysed_or_refused(instance), self._timeout_s, "the instance")
        match made:
            case Analysed():
                return await self._store(instance, made)
            case None:
                await persist_outcome(lambda: self._inbox.end(instance, "ignored"))
                return "ignored", None
            case _Refusal(problem):
                return await self._refuse(instance, problem)
            case Problem():
                state = await persist_outcome(lambda: self._inbox.fail(instance, made))
                return "dead" if state == "dead" else "retried", made

    async def _store(self, instance: PendingInstance, made: Analysed) -> tuple[FilmOutcome, Problem | None]:
        results = (made.order, made.study_uid, made.results, made.failed)
        try:
            await persist_outcome(lambda: self._inbox.analysed(instance, *results))
        except ResultConflict as error:
            return await self._refuse(instance, problem_of(error))
        return ("incomplete", made.failed[0].problem) if made.failed else ("analysed", None)

    async def _refuse(self, instance: PendingInstance, problem: Problem) -> tuple[FilmOutcome, Problem]:
        await persist_outcome(lambda: self._inbox.end(instance, "refused", problem))
        return "refused", problem

    async def _analysed_or_refused(self, instance: PendingInstance) -> Analysed | _Refusal | Problem | None:
        """The results, a refusal of the image, or a problem of the service. Raises transient errors."""
        is_last_attempt = instance.claim.failures + 1 >= _MAX_ATTEMPTS
        try:
            return await self._audited(instance)
        except ImageError as error:
            if isinstance(error, _TRANSIENT) and not is_last_attempt:
                raise
            return _Refusal(problem_of(error))
        except AnalysisFailed as error:
            return replace(problem_of(error), permanent=is_last_attempt)

    async def _audited(self, instance: PendingInstance) -> Analysed | None:
        """The results, recorded in the audit log. Raises AuditUnavailable and the errors of the analysis.

        An unexpected exception becomes AnalysisFailed.
        """
        subject = Subject()
        subject_var.set(subject)  # local to this task
        outcome = AnalysisFailed.code
        try:
            made = await self._make(instance, subject)
            outcome = _audit_outcome(made)
        except MedPatchNetError as error:
            outcome = error.code
            raise
        except Exception as error:  # noqa: BLE001 - its message can quote an image
            get_logger().error("unexpected_error", error=type(error).__name__, at=error_places(error))
            raise AnalysisFailed(f"the analysis ended with an unexpected error ({type(error).__name__})") from None
        finally:
            if self._audit is not None:
                entry = Entry(f"node:{instance.source}", "analyse", outcome, instance.claim.id, subject)
                await asyncio.to_thread(self._audit.append, entry)
        return made

    async def _make(self, instance: PendingInstance, subject: Subject) -> Analysed | None:
        """The results of an instance; None if no rule matches."""
        content = await asyncio.to_thread(self._inbox.content, instance)
        if content is None:
            content = await self._fetch(instance)
        await asyncio.to_thread(subject.note_object, content)
        order = instance.order or await asyncio.to_thread(self._analyzer.decide, content, instance.source)
        if order is None:
            return None
        self._require_target(order)
        first_accepted = datetime.fromtimestamp(instance.first_accepted_at, UTC)
        made = await self._analyzer.analyse(content, order, first_accepted)
        if made.sop_instance_uid != instance.sop_instance_uid:
            raise UnreadableImage("the SOP Instance UID of the object differs from the announced one")
        return made

    async def _fetch(self, instance: PendingInstance) -> bytes:
        source = self._sources.get(instance.source)
        if source is None or instance.study_uid is None or instance.series_uid is None:
            raise UnknownNode("the source is no longer in the configuration")
        return await source.fetch(instance.study_uid, instance.series_uid, instance.sop_instance_uid)

    def _require_target(self, order: Order) -> None:
        if order.target not in self._targets:
            raise UnknownNode("the target is no longer in the configuration")


def _audit_outcome(made: Analysed | None) -> str:
    if made is None:
        return "ignored"
    return made.failed[0].problem.code if made.failed else "ok"
