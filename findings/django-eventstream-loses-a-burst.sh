#!/usr/bin/env bash
# django-eventstream 5.3.4: without a storage, of a burst a connected client gets some ten events, and nothing says so.
#
# One would guess: a client that is connected and reads gets every event that this process sends. What is lost without a
# storage (EVENTSTREAM_STORAGE_CLASS) are events from before a connection, and what overflows gives a `stream-reset`.
# What is so: each stream has 10 places a channel, which it empties when the event loop comes round. What does not fit is
# to be read from the storage, and dropped where there is none: no `stream-reset`, no log line above DEBUG, no end of the
# stream, and the next event comes as if it followed. Fifty calls of send_event in one loop are enough.
#
# Seen: of a burst of 50 events 10 came, then event 50; stream-reset: no
#
# Needs python3 (3.10 or newer) and pip. Exits with 1 if it behaves otherwise.
set -euo pipefail

PLACE=$(mktemp -d)
trap 'rm -rf "$PLACE"' EXIT
python3 -m venv "$PLACE/venv"
"$PLACE/venv/bin/python" -m pip install -qq --disable-pip-version-check django==5.2.19 django-eventstream==5.3.4

cat >"$PLACE/show.py" <<'PY'
import asyncio
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="not secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_eventstream"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

import django_eventstream
from django.core.asgi import get_asgi_application
from django.urls import include, path
from django_eventstream import send_event

urlpatterns = [path("events/", include(django_eventstream.urls))]
application = get_asgi_application()


class Stream:
    """A client that keeps what it was sent."""

    def __init__(self, query, headers=()):
        self.received = b""
        headers = [(b"host", b"localhost"), *headers]
        scope = {"type": "http", "method": "GET", "path": "/events/", "query_string": query, "headers": headers}
        self.request = [{"type": "http.request", "body": b""}]
        self.task = asyncio.create_task(application(scope, self.receive, self.send))

    async def receive(self):
        return self.request.pop() if self.request else await asyncio.Event().wait()

    async def send(self, message):
        self.received += message.get("body", b"")

    async def has(self, part):
        while part not in self.received:
            await asyncio.sleep(0.02)

    def lines(self, name):
        start = f"{name}: "
        return [line.removeprefix(start) for line in self.received.decode().splitlines() if line.startswith(start)]


async def show():
    stream = Stream(b"channel=items")
    await stream.has(b"stream-open")
    # The client is told of one event, so it is connected and up to date.
    send_event("items", "message", "first")
    await stream.has(b"first")
    for number in range(50):
        send_event("items", "message", number)
    await stream.has(b"data: 9\n")
    send_event("items", "message", 50)
    await stream.has(b"data: 50\n")
    stream.task.cancel()
    numbers = [int(data) for data in stream.lines("data") if data.isdigit()]
    reset = b"stream-reset" in stream.received
    print(f"of a burst of 50 events {len(numbers) - 1} came, then event {numbers[-1]}; stream-reset: {'yes' if reset else 'no'}")
    return numbers == [*range(10), 50] and not reset


sys.exit(0 if asyncio.run(asyncio.wait_for(show(), 30)) else 1)
PY
"$PLACE/venv/bin/python" "$PLACE/show.py"
