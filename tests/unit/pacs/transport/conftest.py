"""Fixtures of the transport tests."""

import pytest

from tests.unit.pacs.transport.dicomweb_server import running


@pytest.fixture
def archive():
    with running() as archive:
        yield archive
