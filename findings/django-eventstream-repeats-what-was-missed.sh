#!/usr/bin/env bash
# django-eventstream 5.3.4: who comes back to two channels gets what it missed on the quiet one once for each page of both.
#
# One would guess: with a storage and `Last-Event-ID`, each event that was missed comes once, in the order of its channel.
# What is so: what was missed is read in pages of a hundred events, shared out among the channels. Where a channel has
# more than its share, all of them are read again, and only that one goes on from where it was: the others begin anew. So
# their events come again with each page, with smaller ids than before, and several times over where much was missed.
#
# Seen (of 120 events missed on one channel and 3 on another): 120 events came 1 time(s); 3 events came 3 time(s)
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
from collections import Counter

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="not secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_eventstream"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{sys.argv[1]}/events.sqlite3"}},
    EVENTSTREAM_STORAGE_CLASS="django_eventstream.storage.DjangoModelStorage",
)
django.setup()

import django_eventstream
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.core.management import call_command
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


def send(channel, count):
    for number in range(count):
        send_event(channel, "message", f"{channel} {number}")


async def show():
    await sync_to_async(call_command)("migrate", verbosity=0)
    await sync_to_async(send)("busy", 1)
    await sync_to_async(send)("quiet", 1)
    query = b"channel=busy&channel=quiet"
    stream = Stream(query)
    await stream.has(b"stream-open")
    await asyncio.sleep(0.5)
    await sync_to_async(send)("quiet", 1)
    await stream.has(b'data: "quiet 0"')
    last = stream.lines("id")[-1]
    stream.task.cancel()
    await sync_to_async(send)("busy", 120)
    await sync_to_async(send)("quiet", 3)
    stream = Stream(query, [(b"last-event-id", last.encode())])
    await stream.has(b'data: "busy 119"')
    await stream.has(b'data: "quiet 2"')
    await asyncio.sleep(0.5)
    stream.task.cancel()
    return Counter(data for data in stream.lines("data") if data)


times = Counter(asyncio.run(asyncio.wait_for(show(), 60)).values())
print("; ".join(f"{count} events came {time} time(s)" for time, count in sorted(times.items())))
sys.exit(0 if times == {1: 120, 3: 3} else 1)
PY
"$PLACE/venv/bin/python" "$PLACE/show.py" "$PLACE"
