"""Work that stops when its client leaves."""

import asyncio

import pytest
from starlette.requests import Request

from app.api.presence import while_connected
from app.errors import ClientGone, QueueFull


class Client:
    """The other end of a request: present until ``leaves`` is set."""

    def __init__(self):
        self.leaves = asyncio.Event()

    async def receive(self):
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    def request(self):
        return Request({"type": "http"}, self.receive)


def test_a_client_that_stays_gets_the_result_or_the_error():
    async def scenario():
        async def fail():
            raise QueueFull("full")

        assert await while_connected(Client().request(), asyncio.sleep(0, "answer")) == "answer"
        with pytest.raises(QueueFull):
            await while_connected(Client().request(), fail())
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_work_ends_before_the_place_of_a_client_that_left_is_free():
    async def scenario():
        client, steps = Client(), []

        async def work():
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                steps.append("ended")

        asyncio.get_running_loop().call_later(0.02, client.leaves.set)
        with pytest.raises(ClientGone):
            await while_connected(client.request(), work())
        assert steps == ["ended"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_server_that_ends_the_request_ends_the_work():
    async def scenario():
        ended = asyncio.Event()

        async def work():
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        task = asyncio.create_task(while_connected(Client().request(), work()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(scenario())
