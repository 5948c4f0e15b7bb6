"""Clients that disconnect: their work is cancelled, and their capacity is free for others."""

import socket
from time import sleep
from urllib.parse import urlsplit

import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}
PASSES = 256
WAIT_S = 100


def figure(client, name):
    return float(next(line for line in client.get("/metrics").text.splitlines() if line.startswith(name)).split()[-1])


def model_calls(client):
    return figure(client, "medpatchnet_batch_images_count")


def sent(service, path, body):
    """A connection with a sent request and an unread response."""
    address = urlsplit(service.url)
    connection = socket.create_connection((address.hostname, address.port))
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_a_map_of_a_disconnected_client_stops_using_the_device(start_service, rg1):
    service = start_service(max_concurrent_maps=1)
    with service.client(timeout=WAIT_S) as client:
        with sent(service, "/explain?class=Edema&offset=4", rg1):
            eventually(lambda: model_calls(client) > 4, WAIT_S)
        eventually(lambda: 'route="/explain"' in client.get("/metrics").text, WAIT_S)  # the request has ended
        sleep(0.5)  # a running call can still end
        calls = model_calls(client)
        assert calls < PASSES / 2
        assert figure(client, "medpatchnet_queue_depth") == 0
        answer = client.post("/explain?class=Edema&offset=32", content=rg1, headers=DICOM)
        assert answer.status_code == 200  # the only slot for maps is free
        assert calls < model_calls(client) <= calls + 5  # the plain grid and four passes
    assert service.stop() == 0
