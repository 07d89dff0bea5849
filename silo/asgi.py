"""The ASGI entry: event streams to their small application, everything else to Django."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "silo.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path as django_re_path

from events_app import request_gate, stream
from silo.database import POOL_MAX_SIZE

# The presence and the streams take connections of the pool too.
REQUESTS_AT_ONCE = POOL_MAX_SIZE - 3

# Django's type of a route knows views only; Channels takes ASGI applications.
re_path: Any = django_re_path

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                re_path(r"^api/events$", stream.application),
                re_path(r"^api/items/(?P<part_number>.+)/events$", stream.application),
                re_path(r"", request_gate.limited(django_application, REQUESTS_AT_ONCE)),
            ]
        )
    }
)
