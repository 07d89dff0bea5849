"""How many streams one presence key may have open on this process: the newest is refused, not the oldest closed.

Were the oldest closed, nine windows would displace each other for ever: each that is closed comes back and closes
another. What a client has left behind without this server's knowing keeps it out no longer than `PROOF_SECONDS`.
"""

import asyncio
import uuid
from typing import Final

from events_app.open_stream import OpenStream, TooManyStreams
from events_app.presence_domain import Key

# A window of a CAD program holds one stream; what has more has lost count of them.
MAX_STREAMS_PER_KEY: Final = 8
# For so long a peer may take to acknowledge a line: several times the slowest way there and back.
PROOF_SECONDS: Final = 2.0


class Siblings:
    """The open streams of each key, in the order in which they arrived."""

    def __init__(self) -> None:
        self._by_key: dict[Key, dict[uuid.UUID, OpenStream]] = {}

    def add(self, key: Key, stream: OpenStream) -> None:
        """Note a stream of the key."""
        self._by_key.setdefault(key, {})[stream.connection_id] = stream

    def remove(self, key: Key, stream: OpenStream) -> None:
        """Forget a stream of the key."""
        del self._by_key[key][stream.connection_id]
        if not self._by_key[key]:
            del self._by_key[key]

    async def make_room(self, key: Key) -> None:
        """Return when the key may have one stream more, which is added before anything else runs.

        Where there are too many, each has to prove that its peer is there; those that do not are closed.

        Raises:
            TooManyStreams: all of them do.
        """
        streams = self._open(key)
        if len(streams) < MAX_STREAMS_PER_KEY:
            return
        for stream in streams:
            stream.prove()
        await asyncio.sleep(PROOF_SECONDS)
        for stream in streams:
            if await stream.unacknowledged():
                stream.close("its peer acknowledges nothing, and others wait for its place")
        if len(self._open(key)) >= MAX_STREAMS_PER_KEY:
            raise TooManyStreams

    def _open(self, key: Key) -> list[OpenStream]:
        streams = list(self._by_key.get(key, {}).values())
        if len(streams) < MAX_STREAMS_PER_KEY:
            return streams
        return [stream for stream in streams if not stream.closed.is_set()]
