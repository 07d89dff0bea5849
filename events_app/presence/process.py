"""The presence of one server process: its open streams, and the tasks that keep their workstations present.
`serving.runtime` makes one.

`writer` records the streams in the database, `heartbeats` refreshes their sessions, and `housekeeping` beats and cleans
up after dead processes.
"""

import asyncio
import logging
import uuid

from events_app import measured, timings
from events_app.database.threads import ConnectedThread
from events_app.http import refusals
from events_app.presence.acknowledgements import Acknowledgements, ObservedClock
from events_app.presence.alive_queue import AliveRequests
from events_app.presence.backend import Key, StreamGrant, StreamRefused
from events_app.presence.heartbeats import Heartbeats
from events_app.presence.housekeeping import Housekeeping
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Departure, Snapshot
from events_app.presence.stream_interface import OpenStream
from events_app.presence.stream_limits import StreamGroups
from events_app.presence.writer import PresenceWriter

logger = logging.getLogger(__name__)


class Presence:
    """One per process. Its tasks are the methods that end in `_loop`."""

    def __init__(self, configured: timings.Timings, port: int | None = None) -> None:
        self.streams: dict[uuid.UUID, OpenStream] = {}
        self.stopping = False
        self.observed = ObservedClock(configured.beat)
        self._groups = StreamGroups()
        process = self.identity = ProcessIdentity(port=port)
        self._acknowledgements = Acknowledgements(self.observed, configured.acknowledge)
        self.alive_requests = AliveRequests(self.observed, self._acknowledged)
        # The writer, the beat, and heartbeats with housekeeping have one thread and one connection each.
        self._worker = ConnectedThread("presence-work")
        self._writer = PresenceWriter(
            process, self.streams, self._acknowledgements, configured, lambda: self.observed.proved
        )
        self._heartbeats = Heartbeats(
            process,
            self.streams,
            self._writer,
            self._acknowledgements,
            self.alive_requests,
            self._worker,
            configured,
        )
        self._housekeeping = Housekeeping(
            process,
            self._writer,
            self._heartbeats,
            self.observed,
            self.alive_requests,
            self._worker,
            configured,
        )
        self.write_loop = self._writer.write_loop
        self.tick_loop = self._housekeeping.tick_loop
        self.beat_loop = self._housekeeping.beat_loop
        self.housekeeping_loop = self._housekeeping.housekeeping_loop
        self.remainder_loop = self._housekeeping.remainder_loop
        self.heartbeat_loop = self._heartbeats.heartbeat_loop

    async def arrive(self, stream: OpenStream) -> Snapshot:
        """Wait until the stream's connection is committed.

        Returns:
            The contents of `stream-open`, read after that commit.

        Raises:
            TooManyStreams: its key, or its user, has as many as it may have.
            StreamRefused: the server stops.
        """
        await self._groups.wait_for_room(stream.grant)
        if not stream.is_open:
            # The client has disconnected meanwhile; a stream that is added now would never be removed.
            raise asyncio.CancelledError
        return await self.arriving(stream)

    def has_room(self, grant: StreamGrant) -> bool:
        """Return whether a stream may arrive without looking first which others are still there."""
        return self._groups.has_room(grant)

    def arriving(self, stream: OpenStream) -> "asyncio.Future[Snapshot]":
        """Let a stream arrive for which there is room; see `arrive`.

        Raises:
            StreamRefused: the server stops.
        """
        if self.stopping:
            raise StreamRefused(*refusals.UNAVAILABLE)
        self._groups.add(stream)
        self.streams[stream.connection_id] = stream
        self._heartbeats.add(stream)
        return self._writer.arrive(stream)

    def leave(self, stream: OpenStream, *, by_client: bool) -> None:
        """Handle the end of a stream. Never waits; after `stop` has begun, no end counts as a departure."""
        if self.streams.pop(stream.connection_id, None) is None:
            return
        self._groups.remove(stream)
        self._heartbeats.remove(stream)
        key = stream.grant.key
        if key is None:
            return
        measured.departures["client" if by_client else "server"].value += 1
        if not self.stopping:
            departure = Departure(stream.connection_id, key, by_client)
            self._writer.depart(departure, stream.grant.user_id)

    def heartbeat_written(self, connection_id: uuid.UUID) -> None:
        """Note that a heartbeat was written to that stream: the time of its client to acknowledge it begins."""
        self._acknowledgements.written(connection_id)

    def close_all(self, reason: str) -> None:
        """Close every stream, so that its client opens another one."""
        if self.streams:
            logger.warning(
                "closing every stream", extra={"reason": reason, "streams": len(self.streams)}
            )
        for stream in list(self.streams.values()):
            stream.close(reason)

    @property
    def ready(self) -> bool:
        """Whether a new stream would be kept alive: this process is registered, and beats."""
        return self.useful and not self._writer.must_register

    @property
    def useful(self) -> bool:
        """Whether this process can keep alive what it serves."""
        return self._heartbeats.useful

    def _acknowledged(self, key: Key, connection_id: uuid.UUID | None, at: float) -> None:
        streams = self._groups.of(key) if connection_id is None else [connection_id]
        for stream in streams:
            self._acknowledgements.answered(stream, at)

    async def stop(self) -> None:
        """Write the departures from before the stop, then remove this process: its clients do not depart."""
        try:
            await self._writer.stop()
        finally:
            self._housekeeping.stop()
            self._worker.end()
