"""What a part is given, and where it writes its tables."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.accelerator.plan import Device
from tests.benchmarks.measure import Row

Tables = dict[str, list[Row]]


@dataclass
class Context:
    """One part of one run.

    ``quick`` asks for the smallest sizes, to rehearse a run without an accelerator. ``data`` is the folder of prepared
    radiographs that training reads, or None. Tables are written as soon as they are added, so that a part that is
    stopped at its deadline keeps what it measured.
    """

    part: str
    device: Device
    out: Path
    seconds: float
    quick: bool
    data: Path | None = None
    begin: float = field(default_factory=monotonic)
    tables: Tables = field(default_factory=dict)

    @property
    def seconds_left(self) -> float:
        return self.seconds - (monotonic() - self.begin)

    def add(self, title: str, row: Row) -> None:
        """Append a row to a table, print it, and write all tables."""
        self.tables.setdefault(title, []).append(row)
        values = "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
        print(f"{title}: {values}", flush=True)
        (self.out / f"{self.part}.json").write_text(json.dumps(self.tables, indent=1) + "\n", encoding="utf-8")

    def miss(self, what: str, reason: object) -> None:
        """Record something that could not be done, and why."""
        text = f"{type(reason).__name__}: {reason}" if isinstance(reason, BaseException) else str(reason)
        self.add("Not done", {"what": what, "reason": text.splitlines()[0][:300] if text else ""})
