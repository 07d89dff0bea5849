"""The ASGI entry: event streams to their small application, everything else to Django."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "silo.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path as django_re_path

from events_app.fairness import request_gate
from events_app.serving import alive, no_websocket, stream
from silo import health, request_shares
from silo.database import POOL_MAX_SIZE
from silo.stream_answers import as_djangos

# Hashing a password takes a quarter of a second of one core, on purpose. One at a time, whoever asks.
HASHING_AT_ONCE = 1
# Each thread that uses the database finds a connection in the pool: besides these requests the presence has three, the
# streams and signs of life two each, large bodies and passwords one each and `/ready` has one. So nothing can keep a
# beat waiting.
REQUESTS_AT_ONCE = POOL_MAX_SIZE - 9 - HASHING_AT_ONCE

# `/health` and `/ready` say how this process is, so they wait for no other request. Once the database has been looked
# at, an answer of `/ready` waits for nothing: one thread does for all who ask.
ready = request_gate.counted(health.looked_up_before(request_gate.limited(django_application, 1)))

streams = as_djangos(stream.application)

# Everything else waits fairly: docs/architecture.md, "How many at once".
_limits = request_shares.limits()
requests = request_shares.with_hashing_apart(
    request_gate.limited(django_application, REQUESTS_AT_ONCE, _limits),
    request_gate.limited(django_application, HASHING_AT_ONCE, _limits),
)

# Signs of life wait for no request of another kind: a client whose own comes too late loses what it has.
signs_of_life = request_gate.counted(alive.application(as_djangos, otherwise=requests))

# Django's type of a route knows views only; Channels takes ASGI applications.
re_path: Any = django_re_path

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                re_path(r"^api/events$", streams),
                re_path(r"^api/items/(?P<part_number>[\s\S]+)/events$", streams),
                re_path(r"^health$", request_gate.counted(django_application)),
                re_path(r"^ready$", ready),
                re_path(r"^api/workstations/(?P<workstation_id>[^/]+)/alive$", signs_of_life),
                re_path(r"", requests),
            ]
        ),
        "websocket": no_websocket.application,
    }
)
