"""Fixtures of all tests: where the reference data and the example films are."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("busy")

REFERENCE_DATA = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the checkout. Absent on most machines; where CI runs, it must be there."""
    if not REFERENCE_DATA.is_dir():
        if os.environ.get("MEDPATCHNET_TEST_REQUIRE_ALL"):
            pytest.fail(f"the reference data are missing at {REFERENCE_DATA}")
        pytest.skip("the reference data are not beside this checkout")
    return REFERENCE_DATA
