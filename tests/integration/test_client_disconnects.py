"""Clients that disconnect: their work is cancelled, and their capacity is free for others."""

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


def model_calls(client):
    return figure(client, "medpatchnet_batch_images_count")


def sent(service, path, body):
    """A connection with a sent request and an unread response."""
    address = urlsplit(service.url)
    connection = socket.create_connection((address.hostname, address.port))
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_maps_of_disconnected_clients_stop_using_the_device(client, service, rg1):
    before, path = model_calls(client), "/explain?class=Edema&offset=4"
    with sent(service, path, rg1), sent(service, path, rg1):
        eventually(lambda: model_calls(client) > before + 4)
    eventually(lambda: is_at_rest(client))
    calls = model_calls(client) - before
    assert calls < PASSES
    assert figure(client, "medpatchnet_queue_depth") == 0
    answer = client.post("/explain?class=Edema&offset=32", content=rg1, headers=DICOM)
    assert answer.status_code == 200  # both slots for maps are free
    assert model_calls(client) - before < calls + 16  # the plain grid, four passes, and calls that were running


def is_at_rest(client):
    """Whether the model was not called for a second."""
    calls = model_calls(client)
    sleep(1)
    return model_calls(client) == calls
