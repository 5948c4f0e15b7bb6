"""The plan of a run: which inputs have no row yet, and the parts in which they are scored."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.

import hashlib
from collections.abc import Iterable, Iterator
from math import ceil

import pyarrow as pa
import pyarrow.compute as pc

from app.batch.inputs import Input

_LARGEST_PART = 512  # films; a part that was being scored on a lost node is scored again
_PARTS_PER_NODE = 8  # so that all nodes end at about the same time

PLANNED = pa.schema(
    [
        ("input_hash", pa.string()),
        ("location", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("seen", pa.list_(pa.string())),
    ]
)
"""One film to score. ``seen``: SHA-256 of the contents that its location had in earlier runs."""


def pending(inputs: Iterable[Input], known: pa.Table) -> pa.Table:
    """The inputs that have no row with this size and version, as a table of ``PLANNED`` in order of location.

    ``known`` has the columns input_hash, size, version and sha256.
    """
    found = [(item.hash, item.location, item.size, item.version) for item in inputs]
    columns = zip(*found, strict=True) if found else [[]] * 4
    types = [PLANNED.field(index).type for index in range(4)]
    listed = pa.table([pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], PLANNED.names[:4])
    keys = ["input_hash", "size", "version"]
    new = listed.join(known.select(keys), keys, join_type="left anti").select(listed.column_names).sort_by("location")
    return new.append_column("seen", _seen(new.column("input_hash"), known)).cast(PLANNED)


def parts(plan: pa.Table, nodes: int) -> list[pa.Table]:
    """The plan in parts of equal size, each of which becomes one file."""
    films = min(_LARGEST_PART, max(1, ceil(plan.num_rows / (nodes * _PARTS_PER_NODE))))
    return [plan.slice(start, films).combine_chunks() for start in range(0, plan.num_rows, films)]


def name_of(part: pa.Table) -> str:
    """The file name of a part, which follows from its inputs: a repeated attempt writes the same file."""
    digest = hashlib.sha256()
    for key in _texts(part.select(["input_hash", "size", "version"])):
        digest.update(key.encode())
    return f"part-{digest.hexdigest()[:32]}.parquet"


def _seen(hashes: pa.ChunkedArray, known: pa.Table) -> pa.Array:
    changed = known.filter(pc.is_in(known.column("input_hash"), value_set=hashes.combine_chunks()))  # pyright: ignore[reportAttributeAccessIssue] - made at import
    contents: dict[str, list[str]] = {}
    for row in changed.select(["input_hash", "sha256"]).to_pylist():
        if row["sha256"]:
            contents.setdefault(row["input_hash"], []).append(row["sha256"])
    return pa.array([contents.get(key, []) for key in hashes.to_pylist()], PLANNED.field("seen").type)


def _texts(table: pa.Table) -> Iterator[str]:
    for row in table.to_pylist():
        yield "\n".join(map(str, row.values())) + "\n"
