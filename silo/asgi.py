"""The ASGI entry: event streams to their small application, everything else to Django."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "silo.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path as django_re_path

from events_app import no_websocket, request_gate, stream
from silo.database import POOL_MAX_SIZE

# Each thread that uses the database finds a connection in the pool: besides these requests the presence has three and
# the streams have two. So nothing can keep a beat waiting.
REQUESTS_AT_ONCE = POOL_MAX_SIZE - 5

# Django's type of a route knows views only; Channels takes ASGI applications.
re_path: Any = django_re_path

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                re_path(r"^api/events$", stream.application),
                re_path(r"^api/items/(?P<part_number>.+)/events$", stream.application),
                # It says that the process runs, so it waits for no other request.
                re_path(r"^health$", django_application),
                re_path(r"", request_gate.limited(django_application, REQUESTS_AT_ONCE)),
            ]
        ),
        "websocket": no_websocket.application,
    }
)
