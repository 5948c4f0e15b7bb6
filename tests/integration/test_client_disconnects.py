"""Clients that hang up: their work stops, their places are free, and others are served."""

import socket
from time import sleep
from urllib.parse import urlsplit

import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}
PASSES = 256
PATIENCE_S = 100


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


def test_a_map_of_a_client_that_left_stops_using_the_device(start_service, rg1):
    service = start_service(max_concurrent_maps=1)
    with service.client(timeout=PATIENCE_S) as client:
        with asked(service, "/explain?class=Edema&offset=4", rg1):
            eventually(lambda: calls_of_the_network(client) > 4, PATIENCE_S)
        eventually(lambda: 'route="/explain"' in client.get("/metrics").text, PATIENCE_S)  # the request has ended
        sleep(0.5)  # a call that was running may end
        calls = calls_of_the_network(client)
        assert calls < PASSES / 2
        assert figure(client, "medpatchnet_queue_depth") == 0
        answer = client.post("/explain?class=Edema&offset=32", content=rg1, headers=DICOM)
        assert answer.status_code == 200  # the only place for a map is free
        assert calls < calls_of_the_network(client) <= calls + 5  # the plain grid, and four passes
    assert service.stop() == 0
