"""The ASGI entry: routes calls of the writer, event streams and `alive` to their own applications, everything else to
Django."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "silo.settings")

import django

django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import re_path as django_re_path

from events_app.fairness import request_gate
from events_app.http.lane_request import either
from events_app.serving import alive, no_websocket, openings
from sessions_app.writer import writer
from silo import health, request_shares, set_way, short_way
from silo.database import CALLING_AT_ONCE, POOL_MAX_SIZE
from silo.django_handler import Handler
from silo.stream_answers import as_djangos, completed

_django = Handler()


async def django_application(scope: Any, receive: Any, send: Any) -> None:
    """Django, which takes the path below which the service is shown away from an address, wherever that stands.

    The server has taken it away already. Put back, it is taken from there, and Django sees what all others see.
    """
    if base := settings.EVENTS_BASE_PATH:
        scope = scope | {"path": base + scope["path"]}
    await _django(scope, receive, send)


# Hashing a password takes a quarter of a second of one core, on purpose: one at a time.
HASHING_AT_ONCE = 1
# Each thread that uses the database finds a connection in the pool: besides these requests presence has three, streams
# and alive requests two each, the writer, large bodies and passwords one each, and `/ready` one. So nothing can delay a
# beat.
REQUESTS_AT_ONCE = POOL_MAX_SIZE - 10 - HASHING_AT_ONCE

# `/health` and `/ready` describe this process, so they wait for no other request. `/ready` waits for nothing once the
# database was checked: one thread serves all of its requests.
ready = request_gate.counted(health.looked_up_before(request_gate.limited(django_application, 1)))

STREAMS = "/api/events"
streams = as_djangos(openings.application)

# All other requests wait in fair turns: docs/architecture.md, "How many at once".
_limits = request_shares.limits()
requests = request_shares.timed(
    request_shares.with_slow_ones_apart(
        request_gate.limited(
            short_way.application(django_application, REQUESTS_AT_ONCE), REQUESTS_AT_ONCE, _limits
        ),
        request_gate.limited(django_application, HASHING_AT_ONCE, _limits),
        # A provider of OpenID Connect that does not answer keeps nobody waiting but those who log in by it.
        request_gate.limited(django_application, CALLING_AT_ONCE, _limits),
    )
)

# Alive requests wait for no request of another kind: a client whose request comes too late loses its sessions.
signs_of_life = request_gate.counted(alive.application(as_djangos, otherwise=requests))
ALIVE = r"^api/workstations/(?P<workstation_id>[^/]+)/alive$"
# Those through the writer.
writing = set_way.SetWay(writer)
# The same without a task, for the usual ones that come by the lane.
direct_calls = either(
    openings.direct_calls(STREAMS, completed),
    either(alive.direct_calls(ALIVE, completed), writing.take),
)

# Django's type of a route knows views only; Channels takes ASGI applications.
re_path: Any = django_re_path

_others = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                re_path(r"^api/events$", streams),
                re_path(r"^api/items/(?P<part_number>[\s\S]+)/events$", streams),
                re_path(r"^health$", request_gate.counted(django_application)),
                re_path(r"^ready$", ready),
                re_path(ALIVE, signs_of_life),
                re_path(r"", requests),
            ]
        ),
        "websocket": no_websocket.application,
    }
)

application = writing.application(_others)
