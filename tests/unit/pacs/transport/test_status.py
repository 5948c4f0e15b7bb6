"""Which statuses mean that an archive has the object, and which failures a retry can resolve."""

import pytest

from app.pacs.transport.status import is_stored, problem_of


@pytest.mark.parametrize("status", [0x0000, 0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB006, 0xB007, 0xB00E])
def test_success_warnings_and_duplicates_mean_that_the_object_is_stored(status):
    assert is_stored(status)


@pytest.mark.parametrize("status", [0xA700, 0xA701, 0x0110, 0x0124, 0xB00F])
def test_a_retry_can_resolve_lack_of_resources_or_permission(status):
    assert not is_stored(status)
    assert not problem_of(status).permanent


@pytest.mark.parametrize("status", [0x0112, 0x0117, 0x0122, 0xA900, 0xC000, 0xC123, 0x1234])
def test_other_failures_are_permanent_and_name_the_status(status):
    assert not is_stored(status)
    assert problem_of(status).permanent
    assert f"0x{status:04X}" in problem_of(status).detail
