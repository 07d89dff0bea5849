"""Writes to an open stream at once, without a task or another turn of the event loop."""

import asyncio
from typing import Any, Final

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip  # noqa: F401

from twisted.web import http

from events_app.http import peers

# An ASGI message of our own: a question, after the start of a stream's answer, whose answer is put into it.
DIRECT: Final = "silo.direct"


class Backpressure:
    """A client that does not read: Twisted says when its buffer is full, and when there is room again."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()

    def pauseProducing(self) -> None:
        """The buffer is full."""
        self.room.clear()

    def resumeProducing(self) -> None:
        """There is room."""
        self.room.set()

    stopProducing = resumeProducing


class DirectWriter:
    """Writes parts of an answer that goes on.

    Args:
        request: the request, whose answer has begun.
        pressure: tells whether its client reads.
    """

    __slots__ = ("_pressure", "_request")

    def __init__(self, request: Any, pressure: Backpressure) -> None:
        self._request = request
        self._pressure = pressure

    @property
    def has_room(self) -> bool:
        """Whether the client has read most of what was written."""
        return self._pressure.room.is_set()

    async def wait_for_room(self) -> None:
        """Wait until the client has read most of what was written."""
        await self._pressure.room.wait()

    def write(self, data: bytes) -> None:
        """Write a part; Twisted keeps what the kernel does not take at once. If the client has left, write nothing."""
        request = self._request
        # Twisted takes the channel from a request that is finished.
        if request.finished or request.channel is None:
            return
        channel = request.channel
        transport = channel.transport
        if peers.unsent(transport) or not request.startedWriting or transport.disconnecting:
            request.write(data)
        else:
            framed = b"".join(http.toChunk(data)) if request.chunked else data
            sent = transport.writeSomeData(framed)
            # A connection that has failed ends in Twisted's own way.
            rest = framed[sent:] if isinstance(sent, int) else framed
            if rest:
                transport.write(rest)
        channel.written()
