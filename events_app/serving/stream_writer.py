"""Writes to the client of one stream: at once, or waiting until it reads. Every write ends with the stream's age."""

import time
from collections.abc import Callable
from typing import Any, Final

from events_app.http.direct_writer import DIRECT, DirectWriter
from events_app.log import event_log
from events_app.serving.stream_http import Send
from events_app.serving.stream_text import HEADERS, HEARTBEAT
from events_app.timings import Timings

# The most that a stream writes at once; before it writes more, its client has to have read most of it.
CHUNK_BYTES: Final = event_log.REPLAY_BYTES


class StreamWriter:
    """The answer of one stream.

    Args:
        send: sends ASGI messages.
        configured: the timings.
        proved: returns when this process was last known to reach the database, by `time.monotonic`.
        heartbeat_written: called when a heartbeat is written, or would be if the client read.
    """

    __slots__ = (
        "_direct",
        "_heartbeat_due",
        "_heartbeat_written",
        "_keepalive",
        "_proved",
        "_send",
        "_vouched",
        "_writing",
        "opened",
        "started",
        "written_at",
    )

    def __init__(
        self,
        send: Send,
        configured: Timings,
        proved: Callable[[], float],
        heartbeat_written: Callable[[], None],
    ) -> None:
        self.opened = time.monotonic()
        self.written_at = self.opened
        self.started = False
        self._send = send
        self._keepalive = configured.keepalive
        self._vouched = configured.vouched
        self._proved = proved
        self._heartbeat_written = heartbeat_written
        self._heartbeat_due = False
        # Whether the last waiting write waits for its client to read.
        self._writing = False
        self._direct: DirectWriter | None = None

    async def begin(self) -> None:
        """Begin the answer."""
        self.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        question: dict[str, Any] = {"type": DIRECT}
        await self._send(question)
        self._direct = question["writer"]

    @property
    def has_room(self) -> bool:
        """Whether something can be written at once: the answer has begun, and its client reads."""
        return self._direct is not None and self._direct.has_room and not self._writing

    @property
    def quiet_seconds(self) -> float:
        """For how long nothing needs to be written yet."""
        return max(0.0, self.written_at + self._keepalive - time.monotonic())

    async def wait_for_room(self) -> None:
        """Wait until the client has read most of what was written."""
        assert self._direct is not None
        await self._direct.wait_for_room()

    @property
    def heartbeat_due(self) -> bool:
        """Whether a heartbeat waits to be written."""
        return self._heartbeat_due

    def add_heartbeat(self) -> None:
        """Have `event: heartbeat` go along with the next write. A client that does not read keeps it back, and its time
        runs."""
        self._heartbeat_due = True
        if self._writing or (self._direct is not None and not self._direct.has_room):
            self._heartbeat_written()

    def write_now(self, body: bytes) -> None:
        """Write where there is room."""
        assert self._direct is not None
        self._direct.write(body + self._heartbeat() + self._stamp())

    async def write(self, body: bytes) -> None:
        """Write, and wait until the client has read most of it."""
        body += self._heartbeat()
        self._writing = True
        while len(body) > CHUNK_BYTES:
            part, body = body[:CHUNK_BYTES], body[CHUNK_BYTES:]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        body += self._stamp()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        self._writing = False

    def _heartbeat(self) -> bytes:
        if not self._heartbeat_due:
            return b""
        self._heartbeat_due = False
        self._heartbeat_written()
        return HEARTBEAT

    def _stamp(self) -> bytes:
        """Return a line with the age of the stream up to which this process vouches for the connection."""
        self.written_at = time.monotonic()
        proved = min(self.written_at, self._proved() + self._vouched)
        return b": keep-alive %.3f\n\n" % max(0.0, proved - self.opened)
