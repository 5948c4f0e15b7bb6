"""Clients that open connections and do not say what they want, on raw sockets."""

import socket
from time import monotonic, sleep
from urllib.parse import urlsplit

import pytest

from app.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.thorough]

HEAD_TIMEOUT_S, KEEP_ALIVE_S = 1.5, 2
POOLED_S = 5.0  # how long httpx keeps an idle connection; now and then a request meets a server that drops it first
ASK = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def impatient(start_service):
    return start_service(head_timeout_s=HEAD_TIMEOUT_S, keep_alive_s=KEEP_ALIVE_S)


def connect(service):
    address = urlsplit(service.url)
    return socket.create_connection((address.hostname, address.port), timeout=300)


def seconds_until_closed(connection):
    begin = monotonic()
    while connection.recv(4096):
        pass
    return monotonic() - begin


def ask(connection):
    connection.sendall(ASK)
    answer = connection.recv(4096)
    while b"live" not in answer:
        answer += connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_hundred_silent_connections_are_closed_and_hold_nobody_up(impatient):
    silent = [connect(impatient) for _ in range(100)]
    with connect(impatient) as other:
        ask(other)
    for connection in silent:
        seconds_until_closed(connection)
        connection.close()


def test_a_head_sent_byte_by_byte_gets_no_more_time(impatient):
    def drip(connection):
        for byte in "GET /livez HTTP/1.1\r\nX-Slow: " + "a" * 1000:
            connection.sendall(byte.encode())
            sleep(0.1)

    with connect(impatient) as connection, pytest.raises(ConnectionError):  # long before the last byte
        drip(connection)


def test_a_second_head_that_stays_incomplete_is_not_waited_for(impatient):
    with connect(impatient) as connection:
        ask(connection)
        connection.sendall(b"GET /livez HTTP/1.1\r\n")
        assert seconds_until_closed(connection) >= HEAD_TIMEOUT_S * 0.9


def test_an_idle_connection_is_kept_as_long_as_is_set_and_closed_in_the_end(impatient):
    with connect(impatient) as connection:
        ask(connection)
        assert seconds_until_closed(connection) >= KEEP_ALIVE_S * 0.9


def test_by_default_an_idle_connection_outlives_the_pools_of_common_clients():
    assert Settings.model_fields["keep_alive_s"].default > POOLED_S


def test_a_body_may_take_longer_than_a_head(impatient, rg1):
    with connect(impatient) as connection:
        head = f"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: {len(rg1)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + rg1[: len(rg1) // 2])
        sleep(HEAD_TIMEOUT_S * 2)
        connection.sendall(rg1[len(rg1) // 2 :])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
