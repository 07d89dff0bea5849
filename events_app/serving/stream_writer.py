"""Writes to the client of one stream: at once, or waiting until it reads. Every write ends with the stream's age."""

import uuid
from time import monotonic
from typing import Final

from events_app.http.stream_answer import StreamAnswer
from events_app.log import event_log
from events_app.presence.process import Presence
from events_app.serving.stream_text import HEARTBEAT
from events_app.timings import Timings

# The most that a stream writes at once; before it writes more, its client has to have read most of it.
CHUNK_BYTES: Final = event_log.REPLAY_BYTES


class StreamWriter:
    """The answer of one stream, and what has to be written along.

    Args:
        connection_id: the stream's.
        configured: the timings.
        presence: knows when this process last reached the database, and is told of written heartbeats.
    """

    __slots__ = (
        "_configured",
        "_connection_id",
        "_heartbeat_due",
        "_presence",
        "_writing",
        "answer",
        "opened",
        "written_at",
    )

    def __init__(self, connection_id: uuid.UUID, configured: Timings, presence: Presence) -> None:
        self.opened = monotonic()
        self.written_at = self.opened
        # None until it has begun.
        self.answer: StreamAnswer | None = None
        self._connection_id = connection_id
        self._configured = configured
        self._presence = presence
        self._heartbeat_due = False
        # Whether the last waiting write waits for its client to read.
        self._writing = False

    @property
    def has_room(self) -> bool:
        """Whether something can be written at once: the answer has begun, and its client reads."""
        return self.answer is not None and self.answer.has_room and not self._writing

    @property
    def quiet_seconds(self) -> float:
        """For how long nothing needs to be written yet."""
        return max(0.0, self.written_at + self._configured.keepalive - monotonic())

    async def wait_for_room(self) -> None:
        """Wait until the client has read most of what was written."""
        assert self.answer is not None
        await self.answer.wait_for_room()

    @property
    def heartbeat_due(self) -> bool:
        """Whether a heartbeat waits to be written."""
        return self._heartbeat_due

    def add_heartbeat(self) -> None:
        """Have `event: heartbeat` go along with the next write. A client that does not read keeps it back, and its time
        runs."""
        self._heartbeat_due = True
        if self._writing or (self.answer is not None and not self.answer.has_room):
            self._presence.heartbeat_written(self._connection_id)

    def write_now(self, body: bytes) -> None:
        """Write at most `CHUNK_BYTES`."""
        assert self.answer is not None
        if self._heartbeat_due:
            body += self._heartbeat()
        self.answer.write(body + self._stamp())

    async def write(self, body: bytes) -> None:
        """Write whole lines, and wait until the client has read most of them."""
        assert self.answer is not None
        body += self._heartbeat()
        self._writing = True
        while len(body) > CHUNK_BYTES:
            # A comment of the connection may come in between, where a line begins. One text may be a longer line.
            end = body.rfind(b"\n", 0, CHUNK_BYTES) + 1 or body.index(b"\n", CHUNK_BYTES) + 1
            self.answer.write(body[:end])
            body = body[end:]
            await self.answer.wait_for_room()
        self.answer.write(body + self._stamp())
        await self.answer.wait_for_room()
        self._writing = False

    def _heartbeat(self) -> bytes:
        if not self._heartbeat_due:
            return b""
        self._heartbeat_due = False
        self._presence.heartbeat_written(self._connection_id)
        return HEARTBEAT

    def _stamp(self) -> bytes:
        """Return a line with the age of the stream up to which this process vouches for the connection."""
        # Each delivery of each event comes here: comparisons take a third of the time of `min` and `max`.
        until = self.written_at = monotonic()
        proved = self._presence.observed.proved + self._configured.vouched
        age = (until if until < proved else proved) - self.opened
        return b": keep-alive %.3f\n\n" % (age if age > 0.0 else 0.0)
