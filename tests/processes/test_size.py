"""Two thousand streams on one process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction

from events_app.log import event_log
from events_app.log.event_log import NewEvent
from sessions_app.models import EditSession, EndedSession, Item, Workstation
from tests.processes.many_streams import ManyStreams
from tests.waiting import eventually

pytestmark = pytest.mark.alone

COUNT = 2000
# The contract of an open stream: it holds nothing. A request has a thread while it runs.
MAX_CONNECTIONS = 10
MAX_THREADS = 30


@pytest.fixture
def many(serve) -> Iterator[ManyStreams]:
    streams = None
    server = serve(SILO_HEARTBEAT_SECONDS="5", SILO_SERVER_DEAD_SECONDS="10")
    try:
        streams = ManyStreams(server.url)
        streams.server = server
        yield streams
    finally:
        if streams:
            streams.close()


def resources(server) -> tuple[int, int]:
    """Threads and database connections of a server."""
    status = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    threads = next(line for line in status if line.startswith("Threads")).split()[1]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return int(threads), cursor.fetchone()[0]


@pytest.mark.timeout(240)
def test_two_thousand_streams_hold_nothing_and_their_death_is_told_in_one_go(many, client_of):
    ada = client_of(many.server)
    user = get_user_model().objects.get()
    stations = Workstation.objects.bulk_create(
        Workstation(user=user, name=f"cad-{n}", fingerprint=str(n)) for n in range(COUNT)
    )
    items = Item.objects.bulk_create(Item(part_number=f"N-{n}") for n in range(COUNT))

    many.open((ada.token, f"/api/events?workstation_id={w.pk}&all=true") for w in stations)
    threads, connections = resources(many.server)
    assert connections <= MAX_CONNECTIONS
    assert threads <= MAX_THREADS
    assert many.server.sse_clients() == COUNT

    with many.expect("edit.test"), transaction.atomic():
        event_log.append([NewEvent(["all"], "edit.test", {})])
    with many.expect("heartbeat"):
        pass

    EditSession.objects.bulk_create(
        EditSession(item=item, workstation=station, user=user, context_level="sketch")
        for item, station in zip(items, stations, strict=True)
    )
    many.reset(COUNT)
    eventually(lambda: EndedSession.objects.filter(reason="disconnected").count() == COUNT)
    assert not EditSession.objects.exists()
    # A handful of transactions: each writes one set, and all its records at one moment.
    moments = EndedSession.objects.values("released_at").distinct().count()
    assert moments <= 20
    assert resources(many.server)[0] <= MAX_THREADS
