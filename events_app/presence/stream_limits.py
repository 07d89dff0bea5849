"""Limits the open streams of one presence key, or of one user who only watches, on this process.

The newest is refused, not the oldest closed. Were the oldest closed, nine windows would displace each other for ever:
each that is closed comes back and closes another. Connections that a client has left behind without this server's
knowing keep it out no longer than `PROOF_SECONDS`.
"""

import asyncio
import uuid
from typing import Final

from django.conf import settings

from events_app.presence.backend import Key, StreamGrant
from events_app.presence.stream_interface import OpenStream, TooManyStreams

# A CAD program holds one stream for each instance; a key with more streams has lost track of them.
MAX_STREAMS_PER_KEY: Final = 8
# How long a peer may take to acknowledge a line: several times the slowest round trip.
PROOF_SECONDS: Final = 2.0

# The streams that count together: those of a key that one user has opened, or those of a user (by primary key) without
# any key. Whose key it is, is asked when a stream arrives: until then streams of others must not count for its owner.
Group = tuple[Key, int] | int


def group_of(grant: StreamGrant) -> tuple[Group, int]:
    """Return the group of a stream, and how many streams it may have. No key's streams count for its user."""
    if grant.key is not None:
        return (grant.key, grant.user_id), MAX_STREAMS_PER_KEY
    return grant.user_id, settings.EVENTS_STREAMS_PER_USER


class StreamGroups:
    """The open streams of each group, in the order in which they arrived."""

    def __init__(self) -> None:
        self._by_group: dict[Group, dict[uuid.UUID, OpenStream]] = {}
        self._by_key: dict[Key, set[uuid.UUID]] = {}
        # For each full group the running probe of its streams, shared by all new streams that wait.
        self._proofs: dict[Group, asyncio.Task[None]] = {}

    def add(self, stream: OpenStream) -> None:
        """Note a stream."""
        group, _ = group_of(stream.grant)
        self._by_group.setdefault(group, {})[stream.connection_id] = stream
        if stream.grant.key is not None:
            self._by_key.setdefault(stream.grant.key, set()).add(stream.connection_id)

    def remove(self, stream: OpenStream) -> None:
        """Forget a stream."""
        group, _ = group_of(stream.grant)
        del self._by_group[group][stream.connection_id]
        if not self._by_group[group]:
            del self._by_group[group]
        if (key := stream.grant.key) is not None:
            self._by_key[key].remove(stream.connection_id)
            if not self._by_key[key]:
                del self._by_key[key]

    def of(self, key: Key) -> list[uuid.UUID]:
        """Return the streams of a key."""
        return list(self._by_key.get(key, ()))

    def has_room(self, grant: StreamGrant) -> bool:
        """Return whether a stream may be added to its group at once."""
        group, most = group_of(grant)
        return len(self._open(group, most)) < most

    async def wait_for_room(self, grant: StreamGrant) -> None:
        """Wait until a stream may be added to its group; the caller adds it without waiting in between.

        If the group is full, its streams are probed, and those whose peers do not acknowledge are closed.

        Raises:
            TooManyStreams: all of them acknowledge.
        """
        if self.has_room(grant):
            return
        group, most = group_of(grant)
        if group not in self._proofs:
            self._proofs[group] = asyncio.create_task(self._probe(group))
        # Shielded: one waiting stream that is cancelled must not stop the probe of the others.
        await asyncio.shield(self._proofs[group])
        if len(self._open(group, most)) >= most:
            raise TooManyStreams(most)

    async def _probe(self, group: Group) -> None:
        """Close the streams of a group whose peers acknowledge nothing."""
        try:
            streams = [one for one in self._by_group.get(group, {}).values() if one.is_open]
            for stream in streams:
                stream.probe()
            # What is written from now on need not be acknowledged yet: a busy stream always has some of that.
            sizes = [stream.size for stream in streams]
            await asyncio.sleep(PROOF_SECONDS)
            for stream, size in zip(streams, sizes, strict=True):
                if stream.size - stream.unacknowledged() < size:
                    stream.close("its peer acknowledges nothing, and others wait for its place")
        finally:
            del self._proofs[group]

    def _open(self, group: Group, most: int) -> list[OpenStream]:
        streams = list(self._by_group.get(group, {}).values())
        if len(streams) < most:
            return streams
        return [stream for stream in streams if stream.is_open]
