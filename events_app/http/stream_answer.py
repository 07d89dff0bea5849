"""The answer of an open stream. It takes the place of its request, of which nothing is kept, and writes at once.

An application asks for it by a message of our own, after the start of its answer. From then on the stream lives without
the application, and without a task.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from events_app.http import peers
from events_app.http.sending import send_now

# ASGI messages of our own. The one has `call` called when the client leaves before the answer has begun.
LEAVING: Final = "silo.leaving"
# The other is a question, into which the `answer` is put, unless the client has left; `call` is called when it leaves.
TAKE_OVER: Final = "silo.take-over"


class StreamAnswer:
    """The channel treats it as a request that is being answered; Twisted tells it whether the client reads.

    Args:
        channel: the connection.
        server: the server.
        in_chunks: whether the answer is sent in chunks.
        head: what goes before the first part.
        left: called when the client has left.
    """

    __slots__ = (
        "_asks",
        "_head",
        "_in_chunks",
        "_left",
        "_room",
        "_server",
        "channel",
        "has_room",
        "size",
    )

    startedWriting = True
    is_event_stream = True
    clientproto = b"HTTP/1.1"

    def __init__(
        self,
        channel: Any,
        server: Any,
        *,
        in_chunks: bool,
        left: Callable[[], None],
        head: bytes = b"",
    ) -> None:
        # None once it has ended, or its client has left.
        self.channel: Any = channel
        self._server = server
        self._in_chunks = in_chunks
        self._head = head
        self._left = left
        # The client ended its side while the stream was opened, when there was no place for a comment.
        self._asks: bool = channel.half_closed
        # Whether the client has read most of what was written.
        self.has_room: bool = not channel._waitingForTransport
        self._room: asyncio.Future[None] | None = None
        # Bytes that were written so far.
        self.size = 0
        channel.requests[0] = self
        channel.registerProducer(self, True)

    # -- what the stream calls --

    async def wait_for_room(self) -> None:
        """Wait until the client has read most of what was written, or has left."""
        if not self.has_room:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def write(self, data: bytes) -> None:
        """Write a part; Twisted keeps what the kernel does not take at once. If the client has left, write nothing."""
        channel = self.channel
        if channel is None or not data:
            return
        framed = b"%x\r\n%s\r\n" % (len(data), data) if self._in_chunks else data
        if self._head:
            framed, self._head = self._head + framed, b""
        self.size += len(framed)
        send_now(channel.transport, framed)
        if channel.half_closed:
            channel.written()
        if self._asks:
            self._asks = False
            channel.ask()

    def end(self) -> None:
        """End the answer. The connection goes on with its next request, unless the server stops."""
        channel, self.channel = self.channel, None
        if channel is None:
            return
        send_now(channel.transport, self._head + (b"0\r\n\r\n" if self._in_chunks else b""))
        if self._server.draining:
            channel.persistent = False
        channel.unregisterProducer()
        channel.requestDone(self)

    def abort(self) -> None:
        """Cut the connection."""
        if self.channel is not None:
            self.channel.transport.abortConnection()

    def unacknowledged(self) -> int:
        """Return how many bytes were sent that the client's kernel has not acknowledged."""
        return 0 if self.channel is None else peers.unacknowledged(self.channel.transport)

    # -- what the channel calls --

    def close_when_answered(self) -> None:
        """Close the connection after the answer."""
        self.channel.persistent = False

    def connectionLost(self, reason: Any) -> None:
        """The client has left."""
        self.channel = None
        self.resumeProducing()
        self._left()

    def pauseProducing(self) -> None:
        """The client has not read what was written."""
        self.has_room = False

    def resumeProducing(self) -> None:
        """There is room again."""
        self.has_room = True
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    stopProducing = resumeProducing
