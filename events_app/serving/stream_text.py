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


def reset(head: Cursor) -> bytes:
    """Return the event that has a client read the lists again, and go on from the head of the log."""
    return sse.encode("stream-reset", "{}", str(head))


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
    resets = bool(brought) and resumed is None
    # A client that is cut off between the two comes back with an id that cannot be continued, and is reset then.
    members = json_text({"connection_id": connection_id if grant.shown else None, **held})
    # The timings are the same in all streams, and encoded once.
    data = f'{members[:-1]},"timings":{configured.as_json}}}'
    text = sse.encode("stream-open", data, RESET_ID if resets else str(start))
    if resets:
        text += reset(head)
    return retry() + text, start
