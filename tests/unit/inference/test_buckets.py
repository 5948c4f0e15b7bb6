import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.buckets import Part, bucket_sizes, parts


def test_sizes_double_until_they_hold_the_largest_batch():
    assert bucket_sizes(64, 512) == [64, 128, 256, 512]
    assert bucket_sizes(49, 200) == [49, 98, 196, 392]
    assert bucket_sizes(64, 10) == [64]


def test_a_batch_takes_the_smallest_size_that_holds_it():
    sizes = [64, 128, 256]
    assert parts(64, sizes) == [Part(0, 64, 64)]
    assert parts(65, sizes) == [Part(0, 65, 128)]
    assert parts(600, sizes) == [Part(0, 256, 256), Part(256, 512, 256), Part(512, 600, 128)]
    assert parts(0, sizes) == []


@given(st.integers(0, 3000), st.integers(1, 90), st.integers(1, 700))
def test_parts_cover_every_patch_once_and_fit(count, smallest, largest):
    sizes = bucket_sizes(smallest, largest)
    cut = parts(count, sizes)
    assert [index for part in cut for index in range(part.begin, part.end)] == list(range(count))
    assert all(part.size in sizes and 0 < part.end - part.begin <= part.size for part in cut)


@pytest.mark.parametrize("missing", [512, 64])
def test_sizes_that_could_not_be_had_are_done_without(missing):
    sizes = [size for size in bucket_sizes(64, 512) if size != missing]
    assert all(part.size in sizes for part in parts(700, sizes))
