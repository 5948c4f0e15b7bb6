"""What a run has to do, and in which parts."""

import pyarrow as pa

from app.batch.inputs import Input
from app.batch.plan import name_of, parts, pending

KEYS = ("input_hash", "size", "version", "sha256")


def films(*versions: str) -> list[Input]:
    return [Input(f"/archive/{number}.dcm", 10, version) for number, version in enumerate(versions)]


def rows_of(scored) -> pa.Table:
    rows = [
        dict(zip(KEYS, (item.hash, item.size, item.version, f"content {item.version}"), strict=True)) for item in scored
    ]
    return pa.Table.from_pylist(
        rows, schema=pa.schema([(key, pa.int64() if key == "size" else pa.string()) for key in KEYS])
    )


def test_the_first_run_has_every_input_to_do_in_order():
    plan = pending(reversed(films("1", "1", "1")), rows_of([]))
    assert plan.column("location").to_pylist() == ["/archive/0.dcm", "/archive/1.dcm", "/archive/2.dcm"]
    assert plan.column("seen").to_pylist() == [[], [], []]


def test_what_has_a_row_is_not_done_again():
    assert pending(films("1", "1"), rows_of(films("1", "1"))).num_rows == 0
    assert pending(films("1", "1", "1"), rows_of(films("1", "1"))).column("location").to_pylist() == ["/archive/2.dcm"]


def test_an_input_that_changed_is_done_again_and_its_former_contents_are_known():
    plan = pending(films("1", "2"), rows_of(films("1", "1")))
    assert plan.column("location").to_pylist() == ["/archive/1.dcm"]
    assert plan.column("seen").to_pylist() == [["content 1"]]


def test_no_input_is_a_plan_without_rows():
    assert pending([], rows_of(films("1"))).num_rows == 0


def test_parts_hold_every_input_once_and_are_limited_in_size():
    plan = pending([Input(f"/{number:05}", 1, "") for number in range(9000)], rows_of([]))
    made = parts(plan, nodes=2)
    assert max(part.num_rows for part in made) == 512
    assert pa.concat_tables(made).equals(plan)
    assert len(parts(plan.slice(0, 100), nodes=3)) == 20


def test_the_name_of_a_part_follows_from_its_inputs():
    one, other = (pending(films(version), rows_of([])) for version in "12")
    assert name_of(one) == name_of(pending(films("1"), rows_of([])))
    assert name_of(one) != name_of(other)
