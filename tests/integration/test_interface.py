"""Every route keeps to the OpenAPI document that the service gives out, whatever is sent and whoever sends it.

Short here; ``TEST_CASES=1000 uv run pytest tests/integration/test_interface.py`` tries more for each route.
"""

import os
import subprocess
import sys

import pytest

from tests.integration.conftest import make_key

pytestmark = pytest.mark.integration

ROUTES = 24
SCOPES = ("predict", "explain", "report", "analyze", "admin")
NOT_IN_THE_DOCUMENT = "positive_data_acceptance"  # which bytes are a film, which findings and models are known


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A file with one key for everything, and the key."""
    return make_key(tmp_path_factory.mktemp("keys") / "keys.json", *SCOPES)


def keeps_to_its_document(service, folder, *options):
    """Run every check but the excluded on every route, and see that all were run; it leaves its notes in the folder."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
    limits = ["--max-examples", os.environ.get("TEST_CASES", "10")]
    how = ["--checks", "all", "--continue-on-failure", "--seed", "1"]
    command += [*limits, *how, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:]
    assert f"Tested: {ROUTES}" in done.stdout
    assert "Unresolvable references" not in done.stdout


@pytest.mark.timeout(3600)
def test_of_a_service_that_is_open(service, tmp_path):
    keeps_to_its_document(service, tmp_path, "--exclude-checks", f"{NOT_IN_THE_DOCUMENT},ignored_auth")


@pytest.mark.thorough
@pytest.mark.timeout(3600)
def test_of_a_service_that_asks_for_a_key(start_service, key, tmp_path):
    path, secret = key
    service = start_service(api_keys_file=path)
    keeps_to_its_document(
        service, tmp_path, "--header", f"X-API-Key: {secret}", "--exclude-checks", NOT_IN_THE_DOCUMENT
    )
