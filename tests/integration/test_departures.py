"""Clients that hang up: their work stops, their places are free, and others are served."""

import socket
from time import sleep
from urllib.parse import urlsplit

import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}
PASSES = 256  # of one map


def figure(client, name):
    return float(next(line for line in client.get("/metrics").text.splitlines() if line.startswith(name)).split()[-1])


def calls_of_the_network(client):
    return figure(client, "medpatchnet_batch_images_count")


def asked(service, path, body):
    """A connection on which a request was sent, and nothing is read."""
    address = urlsplit(service.url)
    connection = socket.create_connection((address.hostname, address.port))
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_maps_of_clients_that_left_stop_using_the_device(client, service, rg1):
    before = calls_of_the_network(client)
    with asked(service, "/explain?class=Edema&offset=4", rg1), asked(service, "/explain?class=Edema&offset=4", rg1):
        eventually(lambda: calls_of_the_network(client) > before + 4)
    eventually(lambda: no_call_begins(client))
    calls = calls_of_the_network(client) - before
    assert calls < PASSES
    assert figure(client, "medpatchnet_queue_depth") == 0
    answer = client.post("/explain?class=Edema&offset=32", content=rg1, headers=DICOM)
    assert answer.status_code == 200  # both places for maps are free
    assert calls_of_the_network(client) - before < calls + 16  # the plain grid, four passes, and what was running


def no_call_begins(client):
    """Whether the network was at rest for a second."""
    calls = calls_of_the_network(client)
    sleep(1)
    return calls_of_the_network(client) == calls
