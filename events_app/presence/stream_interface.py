"""The interface of a stream that presence uses, and the reasons why a stream cannot be opened. `serving.stream`
implements it."""

import uuid
from typing import Protocol

from events_app.presence.backend import StreamGrant


class OpenStream(Protocol):
    """The methods of a stream that presence calls."""

    connection_id: uuid.UUID
    grant: StreamGrant
    address: str
    opened: float
    is_open: bool

    def heartbeat(self) -> None:
        """Send `event: heartbeat`: the sessions are refreshed. The stream reports when it is written."""

    def probe(self) -> None:
        """Send a line now, which the peer's kernel has to acknowledge."""

    @property
    def size(self) -> int:
        """How many bytes were written so far."""

    def unacknowledged(self) -> int:
        """Return how many bytes were sent that the peer has not acknowledged."""

    def close(self, reason: str, *, departed: bool = False) -> None:
        """End the stream by the server's doing; no departure, unless its client is known to be gone."""


class StreamGone(Exception):
    """The workstation of the stream does not exist any more."""


class TooManyStreams(Exception):
    """The key, or the user of a stream without one, has as many streams as it may have, and all their peers are there.

    Args:
        most: how many these are.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


class StreamForeign(Exception):
    """The workstation of the stream belongs to another user."""


class StreamDisplaced(Exception):
    """The workstation of the stream belongs to another machine now."""
