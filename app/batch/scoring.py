"""The worker of a run: one process on each node, with the engines and decode workers of the service."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.

import hashlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from app.batch.inputs import read_input
from app.batch.plan import name_of
from app.batch.results import ResultFolder
from app.batch.rows import FilmKey, Row, make_schema, row_of, table_of
from app.cores import usable_cores
from app.errors import (
    AnalysisFailed,
    BodyTooLarge,
    DecoderCrashed,
    DecodeTimeout,
    ImageError,
    MedPatchNetError,
    RequestError,
)
from app.predictor import LoadedModel, PredictedImage
from app.settings import Settings

_RETRIES = 2
_UNCHANGED = "unchanged"
_NOT_READ = "not_read"


@dataclass(frozen=True)
class Job:
    """What all workers of a run need. ``settings`` are plain values; ``model`` has the columns that name the model."""

    settings: Mapping[str, Any]
    out: str
    operating_point: str | None
    patches: int
    identifiers: bool
    zones: bool
    model: Mapping[str, str]


class PartScorer:
    """Scores parts of the plan, and writes each as one file. Can be called from several threads at once.

    A part whose file exists is not scored again, and a repeated attempt writes the same file: each film has one row,
    however many workers and nodes are lost.
    """

    def __init__(self, job: Job, model: LoadedModel | None = None) -> None:
        """Load the model, unless one is given. Raises ArtifactError and ConfigurationError."""
        settings = Settings.model_validate(dict(job.settings))
        threads = settings.inference_threads or usable_cores()  # Ray sets OMP_NUM_THREADS to one
        self._job = job
        self._max_bytes = settings.max_body_bytes
        self._schema = make_schema(job.patches, identifiers=job.identifiers, zones=job.zones)
        self._results = ResultFolder(job.out)
        self._model = model or LoadedModel(settings.model_copy(update={"inference_threads": threads}))
        self._threads = ThreadPoolExecutor(2 * settings.decode_workers)  # decoding and inference overlap

    def __call__(self, part: pa.Table) -> pa.Table:
        """Score a table of ``PLANNED``; returns one row with the numbers of films by outcome."""
        name = name_of(part)
        if (earlier := self._results.outcome_of(name)) is not None:
            return summary(*earlier, Counter())
        outcomes = list(self._threads.map(self._row, part.to_pylist()))
        rows = [row for row in outcomes if not isinstance(row, str)]
        if rows:
            self._results.write(name, table_of(rows, self._schema))
        refused = sum("error" in row for row in rows)
        return summary(len(rows) - refused, refused, Counter(code for code in outcomes if isinstance(code, str)))

    def _row(self, planned: Mapping[str, Any]) -> Row | str:
        """The row of a film, or the code of the reason why it gets none in this run."""
        try:
            data = read_input(planned["location"], self._max_bytes)
        except OSError:
            return _NOT_READ
        whole = len(data) <= self._max_bytes
        sha256 = hashlib.sha256(data).hexdigest() if whole else None
        if sha256 in planned["seen"]:
            return _UNCHANGED
        key = FilmKey(planned["input_hash"], planned["location"], planned["size"], planned["version"], sha256)
        too_large = BodyTooLarge(f"the file is larger than the limit of {self._max_bytes} bytes")
        result = self._predict(data) if whole else too_large
        if isinstance(result, MedPatchNetError) and not is_final(result):
            return result.code
        return row_of(key, result, self._job.model)

    def _predict(self, data: bytes) -> PredictedImage | MedPatchNetError:
        result = self._attempt(data)
        for _ in range(_RETRIES):
            if not can_be_of_machine(result):
                break
            result = self._attempt(data)
        return result

    def _attempt(self, data: bytes) -> PredictedImage | MedPatchNetError:
        try:
            return self._model.predict(data, operating_point=self._job.operating_point, zones=self._job.zones)
        except MedPatchNetError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one film never ends the run
            return AnalysisFailed(f"the analysis ended with an unexpected error ({type(error).__name__})")


def is_final(error: MedPatchNetError) -> bool:
    """Whether an error is about the film, not about the machine: only such errors become rows."""
    return isinstance(error, ImageError | RequestError | AnalysisFailed)


def can_be_of_machine(result: PredictedImage | MedPatchNetError) -> bool:
    """Whether another attempt can end otherwise, because the machine was overloaded or a process was killed."""
    if not isinstance(result, MedPatchNetError):
        return False
    return not is_final(result) or isinstance(result, DecodeTimeout | DecoderCrashed | AnalysisFailed)


def summary(scored: int, refused: int, others: Counter[str]) -> pa.Table:
    """The numbers of films of a part: with a result, with an error, unchanged, and left for another run by code."""
    unchanged = others.pop(_UNCHANGED, 0)
    left = [{"code": code, "films": films} for code, films in others.items()]
    kinds = pa.list_(pa.struct([("code", pa.string()), ("films", pa.int64())]))
    return pa.table(
        {"scored": [scored], "refused": [refused], "unchanged": [unchanged], "left": pa.array([left], kinds)}
    )
