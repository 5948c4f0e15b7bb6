"""A run: list the inputs, leave out those that have a row, score the others on all nodes, and count."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fsspec.core import url_to_fs

from app.batch.cluster import joined, score
from app.batch.inputs import list_inputs
from app.batch.order import Order, prepare
from app.batch.plan import parts, pending
from app.batch.results import ResultFolder
from app.settings import Settings


@dataclass
class Progress:
    """Films of a run by outcome: already in the data set, to do, with a result, with an error, unchanged, left."""

    known: int
    total: int
    scored: int = 0
    refused: int = 0
    unchanged: int = 0
    left: Counter[str] = field(default_factory=Counter[str])

    @property
    def done(self) -> int:
        """Films of this run that have an outcome."""
        return self.scored + self.refused + self.unchanged + self.left.total()

    def add(self, part: dict[str, Any]) -> None:
        """Add the numbers of a part."""
        self.scored += part["scored"]
        self.refused += part["refused"]
        self.unchanged += part["unchanged"]
        self.left.update({kind["code"]: kind["films"] for kind in part["left"]})


def run(order: Order, settings: Settings, show: Callable[[Progress], None]) -> Progress:
    """Score every input that has no row yet; ``show`` is called at the start and after each part.

    Raises ArtifactError and ConfigurationError. What was written until then stays, and another run continues.
    """
    folder = ResultFolder(_absolute(order.out))
    job, about = prepare(order, settings, folder.url)
    folder.open(about)
    known = folder.known()
    inputs = (item for item in list_inputs(order.sources) if not item.location.startswith(f"{folder.url}/"))
    plan = pending(inputs, known)
    progress = Progress(known.num_rows, plan.num_rows)
    show(progress)
    if plan.num_rows:
        with joined(order.address) as nodes:
            for part in score(parts(plan, nodes), job, nodes):
                progress.add(part)
                show(progress)
    return progress


def _absolute(out: str) -> str:
    """The folder as all workers can open it: a URL, or an absolute path."""
    files, path = url_to_fs(out)
    return path if "file" in files.protocol else files.unstrip_protocol(path)
