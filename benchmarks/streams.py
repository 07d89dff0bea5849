"""Streams at size: `python -m benchmarks.streams COUNT` on a database of its own choice (DATABASE_URL).

Prints, for one server process: streams opened per second, threads, database connections and memory; how long one
event takes to reach every stream; how long until the death of all streams is in the record. Client, server and
database share the machine.

It fills the database that it is given with workstations; give it an empty one.
"""

import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.contrib.auth.models import Group
from django.db import connection, transaction

from events_app.log import event_log
from sessions_app.models import EditSession, EndedSession, Item, Workstation
from tests.factories import make_token, make_user
from tests.processes.many_streams import ManyStreams
from tests.processes.service import Serve
from tests.waiting import eventually


def main(count: int) -> None:
    """Run it and print what was measured."""
    Group.objects.get_or_create(name="editor")
    user = make_user(f"bench-{time.time_ns()}")
    token = make_token(user)
    stations = Workstation.objects.bulk_create(
        Workstation(user=user, name=f"w{n}", fingerprint=f"w{n}") for n in range(count)
    )
    items = Item.objects.bulk_create(
        Item(part_number=f"B-{user.pk}-{number}") for number in range(count)
    )
    server = Serve(SILO_HEARTBEAT_SECONDS="30", SILO_SESSION_TIMEOUT_MINUTES="15").ready()
    try:
        measure(server, token, user, stations, items)
    finally:
        server.close()


def measure(server: Serve, token: str, user: Any, stations: list[Any], items: list[Any]) -> None:
    """Measure one server."""
    count = len(stations)
    print(f"idle: {resources(server)}")
    with closing(ManyStreams(server.url)) as streams:
        took = streams.open(
            (token, f"/api/events?workstation_id={w.pk}&all=true") for w in stations
        )
        print(f"opened {count} streams in {took:.1f} s, {count / took:.0f}/s: {resources(server)}")
        EditSession.objects.bulk_create(
            EditSession(item=item, workstation=w, user=user, context_level="sketch")
            for item, w in zip(items, stations, strict=True)
        )
        for _ in range(3):
            with streams.expect("edit.test") as told:
                begun = time.time()
                say()
            print(
                f"one event to {count}: p50 {told['p50'] - begun:.3f} s, all {told['worst'] - begun:.3f} s"
            )
        begun = time.time()
        streams.reset(count)
        eventually(lambda: EndedSession.objects.count() >= count, within=120)
        print(f"{count} streams killed at once: all released after {time.time() - begun:.2f} s")
        print(f"afterwards: {resources(server)}")


def say() -> None:
    """Write one event for everybody."""
    with transaction.atomic():
        event_log.append([event_log.NewEvent(["all"], "edit.test", {"hello": "world"})])


def resources(server: Serve) -> str:
    """Threads, database connections and memory of the server."""
    status = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        (connections,) = cursor.fetchone()
    return f"{fields['Threads'].strip()} threads, {connections} database connections, RSS {fields['VmRSS'].strip()}"


if __name__ == "__main__":
    main(int(sys.argv[1]))
