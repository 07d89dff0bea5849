"""The texts of a stream that are not events of the log."""

import random
import uuid
from collections.abc import Mapping
from typing import Any, Final

from events_app import timings
from events_app.json_text import json_text
from events_app.log import sse
from events_app.log.event_log import Cursor
from events_app.presence.backend import NOTHING_HELD, StreamGrant
from events_app.presence.store import Snapshot

RESET_ID: Final = "reset"
HEARTBEAT: Final = sse.encode("heartbeat", "{}")
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # A proxy that compresses would delay it.
    (b"cache-control", b"no-cache, no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx passes it on at once
]


def retry() -> bytes:
    """Return a random time after which a client that has lost its stream comes back."""
    return b"retry: %d\n" % (1000 * random.uniform(*timings.RETRY_SECONDS))  # noqa: S311


def named(name: str, cursor: Cursor | str, data: dict[str, Any]) -> bytes:
    """Return an event of the stream itself.

    Args:
        name: the event's.
        cursor: its id, from which a client would resume.
        data: a JSON object.
    """
    return sse.encode(name, json_text(data), str(cursor))


def opening(
    grant: StreamGrant, connection_id: uuid.UUID, configured: timings.Timings, snapshot: Snapshot
) -> tuple[bytes, Cursor]:
    """Return the first events of a stream, and the cursor after which it goes on."""
    head = snapshot.log.head
    brought = grant.last_event_id
    resumed = snapshot.log.resume(brought) if brought else None
    # The id that the client brought, until it has the events after it: it may die in the replay.
    start = resumed or head
    key = grant.key or grant.shown
    held: Mapping[str, Any] = snapshot.held[key] if key else NOTHING_HELD
    reset = bool(brought) and resumed is None
    # A client that is cut off between the two comes back with an id that cannot be continued, and is reset then.
    text = named(
        "stream-open",
        RESET_ID if reset else start,
        {
            "connection_id": connection_id if grant.shown else None,
            **held,
            "timings": configured.as_payload(),
        },
    )
    if reset:
        text += named("stream-reset", head, {})
    return retry() + text, start
