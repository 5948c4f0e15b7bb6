"""Marks for tests in which pynetdicom leaves sockets to the garbage collector, because its peer was killed."""

import pytest

LEFT_BEHIND = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
