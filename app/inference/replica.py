"""One engine with its health: runs batches and sets an outcome for every item."""

from collections.abc import Callable
from itertools import accumulate
from time import monotonic

import torch

from app.errors import InferenceFailed, InvalidModelOutput
from app.inference.engine import Engine
from app.inference.faults import EngineHealth, run_halved
from app.inference.items import Inference, Item
from app.telemetry import Fault, get_logger


class Replica:
    """Runs batches on one engine. Used by one thread, except ``health``."""

    def __init__(self, engine: Engine, on_fault: Callable[[Fault], None]) -> None:
        """``on_fault`` is called with every fault of a call."""
        self.engine = engine
        self.health = EngineHealth()
        self._on_fault = on_fault
        self._probe_patch = torch.zeros(0)

    def answer(self, batch: list[Item]) -> None:
        """Run one batch; every item gets its logits or an error."""
        begin = monotonic()
        try:
            joined = torch.cat([item.patches for item in batch]) if len(batch) > 1 else batch[0].patches
            self._probe_patch = torch.zeros_like(joined[:1])
            logits = run_halved(self.engine.patch_logits, joined, lambda: self._on_fault("out_of_memory"))
            parts = torch.tensor_split(logits, _boundaries(batch))
        except Exception as error:  # noqa: BLE001 - every item gets an outcome for any exception of the engine
            self.health.note(succeeded=False)
            self._fail("engine_error", error=type(error).__name__, items=len(batch))
            for item in batch:
                item.outcome.set_exception(InferenceFailed("the model failed on this batch; nothing was predicted"))
            return
        seconds = monotonic() - begin
        self.health.note(succeeded=bool(torch.isfinite(logits).all()))
        for item, part in zip(batch, parts, strict=True):
            if len(part) == len(item) and bool(torch.isfinite(part).all()):
                item.outcome.set_result(Inference(part, begin - item.submitted, seconds))
            else:
                self._fail("invalid_output")
                item.outcome.set_exception(InvalidModelOutput("the model returned values that are not finite"))

    def probe(self) -> None:
        """Run a black patch to see whether a failing engine has recovered; it gets no other work."""
        try:
            recovered = bool(torch.isfinite(self.engine.patch_logits(self._probe_patch)).all())
        except Exception:  # noqa: BLE001 - any exception means that it still fails
            recovered = False
        self.health.note(succeeded=recovered)
        if recovered:
            get_logger().info("inference_recovered")

    def _fail(self, fault: Fault, **facts: object) -> None:
        self._on_fault(fault)
        get_logger().error("inference_failed", fault=fault, **facts)


def _boundaries(batch: list[Item]) -> list[int]:
    """Start of each item after the first in the joined batch."""
    return list(accumulate(len(item) for item in batch[:-1]))
