"""Fixtures of all tests: where the reference data and the example films are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("busy")


@pytest.fixture(scope="session", autouse=True)
def _exports_of_this_run(tmp_path_factory) -> Iterator[None]:
    """One cache of exported networks for all tests and the servers they start; the user's own is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDPATCHNET_CACHE_DIR", str(tmp_path_factory.mktemp("exports")))
        yield


REFERENCE_DATA = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the checkout. Absent on most machines; where CI runs, it must be there."""
    if not REFERENCE_DATA.is_dir():
        if os.environ.get("MEDPATCHNET_TEST_REQUIRE_ALL"):
            pytest.fail(f"the reference data are missing at {REFERENCE_DATA}")
        pytest.skip("the reference data are not beside this checkout")
    return REFERENCE_DATA
