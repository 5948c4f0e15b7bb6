"""What all tests share: the cache of exported models, the threads of each worker, the order of the groups."""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "25"))
settings.register_profile("busy", deadline=None, max_examples=EXAMPLES)  # a busy machine is no reason to fail
settings.load_profile("busy")

ROOT = Path(__file__).resolve().parent.parent
REFERENCE_DATA = ROOT.parent / "shared"

_SHARED_SERVICES = ("service", "guarded")
"""Session fixtures of the integration tests; all tests that use one run in one worker, so that it starts once."""

_ORDER = ("browser", "service", "guarded", "integration", "training", "unit", "contract")
"""Groups and folders, the longest first: short groups at the end keep all workers busy until the end."""


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the environment of the workers and of everything that they start."""
    if hasattr(config, "workerinput"):
        return  # a worker inherits what is set here
    os.environ["MEDPATCHNET_CACHE_DIR"] = str(_export_cache())
    if workers := config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def _export_cache() -> Path:
    """A folder for exported models, kept for later runs until the code of the export changes.

    The folder of the user is never read or written.
    """
    folder = ROOT / ".cache" / "test-exports"
    digest = hashlib.sha256()
    for source in ("app/patchnet/openvino.py", "app/patchnet/backbones.py", "app/inference/export.py", "uv.lock"):
        digest.update((ROOT / source).read_bytes())
    current = folder / digest.hexdigest()[:16]
    current.mkdir(parents=True, exist_ok=True)
    for stale in set(folder.iterdir()) - {current}:
        shutil.rmtree(stale, ignore_errors=True)
    return current


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its group: the browser, a shared service, or its file; sort the tests by group."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=_rank)


def _group(item: pytest.Item) -> str:
    path = item.path.relative_to(ROOT / "tests")
    if path.parts[0] == "browser":
        return "browser"
    used = getattr(item, "fixturenames", ()) if path.parts[0] == "integration" else ()
    return next((name for name in _SHARED_SERVICES if name in used), path.as_posix())


def _rank(item: pytest.Item) -> int:
    group, folder = _group(item), item.path.relative_to(ROOT / "tests").parts[0]
    return next((rank for rank, name in enumerate(_ORDER) if name in {group, folder}), len(_ORDER))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Restore the logging of the process, which commands configure, after each test."""
    root, configuration = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**configuration)
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the checkout; the test is skipped where they are absent, and fails in CI."""
    if not REFERENCE_DATA.is_dir():
        if os.environ.get("TEST_REQUIRE_ALL"):
            pytest.fail(f"the reference data are missing at {REFERENCE_DATA}")
        pytest.skip("the reference data are not beside this checkout")
    return REFERENCE_DATA
