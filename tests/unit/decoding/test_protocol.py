"""The conversation between pool and worker, with a thread in place of the process."""

import json
import socket
import threading
from time import monotonic

import numpy as np
import pytest
from pydicom import uid

from app.decoding import worker
from app.decoding.protocol import Channel, receive_radiograph, send_radiograph
from app.errors import DecoderCrashed, NotAChestRadiograph
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from tests import factories as make

LIMITS = DecodeLimits()


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), Channel(theirs)


def soon() -> float:
    return monotonic() + 300


def serve(channel: Channel) -> threading.Thread:
    thread = threading.Thread(target=worker.serve, args=(channel, LIMITS), daemon=True)
    thread.start()
    return thread


def test_a_worker_answers_with_what_decoding_yields(ends):
    ours, theirs = ends
    thread = serve(theirs)
    assert ours.receive(16, soon()) == worker.READY
    data = make.chest_dicom(ViewPosition="LL")
    for _ in range(2):
        ours.send(data, soon())
        answer, direct = receive_radiograph(ours, LIMITS, soon()), decode_image(data, LIMITS)
        assert np.array_equal(answer.pixels, direct.pixels)
        assert (answer.facts, answer.warnings) == (direct.facts, direct.warnings)
    ours.close()
    thread.join(300)
    assert not thread.is_alive()


def test_a_refusal_keeps_its_class_detail_and_transfer_syntax(ends):
    ours, theirs = ends
    serve(theirs)
    ours.receive(16, soon())
    ours.send(make.chest_dicom(Modality="CT"), soon())
    with pytest.raises(NotAChestRadiograph, match="modality CT") as refusal:
        receive_radiograph(ours, LIMITS, soon())
    assert refusal.value.transfer_syntax == uid.ExplicitVRLittleEndian
    ours.close()


def test_an_unforeseen_failure_is_told_by_its_class_alone(ends, monkeypatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError(make.SENTINEL)

    monkeypatch.setattr(worker, "decode_image", fail)
    ours, theirs = ends
    serve(theirs)
    ours.receive(16, soon())
    ours.send(b"anything", soon())
    with pytest.raises(DecoderCrashed, match="ZeroDivisionError") as failure:
        receive_radiograph(ours, LIMITS, soon())
    assert "SENTINEL" not in failure.value.detail
    ours.close()


def test_a_worker_ends_when_its_answer_is_not_wanted(ends, monkeypatch):
    ours, theirs = ends
    proceed = threading.Event()
    monkeypatch.setattr(
        worker, "decode_image", lambda *_: proceed.wait(300) and decode_image(make.chest_dicom(), LIMITS)
    )
    thread = serve(theirs)
    ours.receive(16, soon())
    ours.send(b"anything", soon())
    ours.close()
    proceed.set()
    thread.join(300)
    assert not thread.is_alive()


HEADER = {"facts": {"format": "png", "rows": 3, "columns": 7}, "warnings": []}


@pytest.mark.parametrize(
    "header",
    [
        b"no json",
        b"[]",
        b"{}",
        json.dumps(HEADER | {"facts": {"format": "png", "rows": 0, "columns": 7}}).encode(),
        json.dumps(HEADER | {"facts": {"format": "png", "rows": 10**6, "columns": 10**6}}).encode(),
        json.dumps(HEADER | {"facts": {"format": "png", "rows": "x", "columns": 7}}).encode(),
        json.dumps({"error": "unreadable_image"}).encode(),
        json.dumps(HEADER).encode(),  # followed by pixels of another length
        bytes(65 * 1024),
    ],
)
def test_an_answer_that_is_not_well_formed_counts_as_a_dead_worker(ends, header):
    ours, theirs = ends
    theirs.send(header)
    theirs.send(bytes(3 * 7 * 4 + 4))
    with pytest.raises(EOFError):
        receive_radiograph(ours, LIMITS, soon())


def test_pixels_of_another_length_than_announced_count_as_a_dead_worker(ends):
    ours, theirs = ends
    theirs.send(json.dumps(HEADER).encode())
    theirs.send(bytes(3 * 7 * 4 - 4))
    with pytest.raises(EOFError):
        receive_radiograph(ours, LIMITS, soon())


def test_an_unknown_error_code_is_a_crash(ends):
    ours, theirs = ends
    theirs.send(json.dumps({"error": "new", "detail": "d", "transfer_syntax": None}).encode())
    with pytest.raises(DecoderCrashed):
        receive_radiograph(ours, LIMITS, soon())


def test_waiting_ends_at_the_deadline(ends):
    ours, _ = ends
    with pytest.raises(TimeoutError):
        ours.receive(10, monotonic() + 0.05)
    with pytest.raises(TimeoutError):
        ours.receive(10, monotonic() - 1)
    with pytest.raises(TimeoutError):
        ours.send(bytes(10_000_000), monotonic() + 0.05)  # nobody reads


def test_pixels_of_any_memory_layout_travel(ends):
    ours, theirs = ends
    radiograph = decode_image(make.png_file(make.film_8bit()), LIMITS)
    turned = type(radiograph)(radiograph.pixels.T, type(radiograph.facts)("png", *radiograph.pixels.T.shape))
    thread = threading.Thread(target=send_radiograph, args=(theirs, turned))
    thread.start()
    assert np.array_equal(receive_radiograph(ours, LIMITS, soon()).pixels, turned.pixels)
    thread.join(300)
