import pytest

from tests.unit.access.issuer import running_issuer


@pytest.fixture
def issuer():
    with running_issuer() as issuer:
        yield issuer
