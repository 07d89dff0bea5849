"""What presence needs of a stream, and what it tells one that cannot be opened."""

import uuid
from typing import Protocol

from events_app.presence_domain import StreamGrant


class OpenStream(Protocol):
    """What presence needs of a stream."""

    connection_id: uuid.UUID
    grant: StreamGrant
    opened: float

    def heartbeat(self) -> None:
        """Send `event: heartbeat`: its touch is committed."""

    def close(self, reason: str, *, departed: bool = False) -> None:
        """End the stream by the server's doing; no departure, unless its client is known to be gone."""


class StreamGone(Exception):
    """What the stream should keep alive does not exist any more."""


class StreamDisplaced(Exception):
    """What the stream should keep alive is another machine's."""
