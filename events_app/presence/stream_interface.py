"""What presence needs of a stream, and what it tells one that cannot be opened."""

import asyncio
import uuid
from typing import Protocol

from events_app.presence.backend import StreamGrant


class OpenStream(Protocol):
    """What presence needs of a stream."""

    connection_id: uuid.UUID
    grant: StreamGrant
    opened: float
    closed: asyncio.Event

    def heartbeat(self) -> None:
        """Send `event: heartbeat`: its touch is committed. When it is written, presence is told."""

    def probe(self) -> None:
        """Send a line now, which the peer's kernel has to acknowledge."""

    async def unacknowledged(self) -> int:
        """Return how many bytes were sent that the peer has not acknowledged."""

    def close(self, reason: str, *, departed: bool = False) -> None:
        """End the stream by the server's doing; no departure, unless its client is known to be gone."""


class StreamGone(Exception):
    """What the stream should keep alive does not exist any more."""


class TooManyStreams(Exception):
    """The key, or the user of a stream without one, has as many streams as it may have, and all their peers are there.

    Args:
        most: how many these are.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


class StreamDisplaced(Exception):
    """What the stream should keep alive is another machine's."""
