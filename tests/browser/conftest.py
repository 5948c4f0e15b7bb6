"""The same real server as in the integration tests."""

from tests.integration.conftest import client, installed, rg1, service, start_service

__all__ = ["client", "installed", "rg1", "service", "start_service"]
