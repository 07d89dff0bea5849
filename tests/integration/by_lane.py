"""Sends requests through a connection with the lane, and returns their answers."""

import asyncio
import http.client
from collections.abc import Awaitable, Callable, Coroutine
from io import BytesIO
from typing import Any

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from events_app.http import twisted_channel
from silo.set_way import SetWay
from tests.unit.lane_channels import Connection

Answer = tuple[int, list[tuple[bytes, bytes]], str]


class ByLane:
    """The way of the writer, with direct calls.

    Args:
        way: the way.
        otherwise: the application that answers all other requests.
    """

    def __init__(self, way: SetWay, otherwise: Callable[..., Awaitable[None]]) -> None:
        self._way = way
        self._application = way.application(otherwise)

    async def answer(self, data: bytes, left: asyncio.Event | None) -> Answer | None:
        """Send a request by a connection of its own; return status, headers by their names, and body.

        Args:
            data: the request.
            left: its client leaves when this is set; the answer is None then.
        """
        connection = Connection(True, self._application)
        connection.server.direct_calls = self._way.take
        connection.receive(data)
        while (answer := _read(connection.answers)) is None:
            if left is not None and left.is_set():
                connection.channel.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
                return None
            await asyncio.sleep(0.001)
        return answer


class _Received:
    """Stands for a socket, for `http.client`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._data)


def _read(data: bytes) -> Answer | None:
    """Return a whole answer, or None if it is not here yet."""
    if b"\r\n\r\n" not in data:
        return None
    read = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
    read.begin()
    try:
        body = read.read().decode()
    except http.client.IncompleteRead:
        return None
    named = [(name.lower().encode(), value.encode("latin-1")) for name, value in read.getheaders()]
    return read.status, sorted(named), body


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run it in the server's loop; the time of connections stands still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twisted_channel, "reactor", Clock())
        return twisted_loop.run_until_complete(main())
