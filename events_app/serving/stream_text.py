"""The texts of a stream that are not events of the log."""

import json
import random
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder

from events_app import timings
from events_app.http.daphne_server import EVENT_STREAM
from events_app.log import sse
from events_app.log.event_log import Cursor

HEARTBEAT: Final = sse.encode("heartbeat", "{}")
HEADERS: Final = [
    EVENT_STREAM,
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
    text = json.dumps(data, cls=DjangoJSONEncoder, separators=(",", ":"), ensure_ascii=False)
    return sse.encode(name, text, str(cursor))
