"""A server that dies after the commit of a request and before its answer: nobody guesses, and nothing is told twice.

A set's last statements are sent with its COMMIT. So a database that has got them carries them out, whatever becomes of
the server meanwhile; here they wait for the event log's lock until the server is dead.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.db import connection, transaction

from events_app.database import sql
from events_app.models import LogEntry
from sessions_app.models import EditSession, EndedSession
from tests.factories import make_item
from tests.processes.service import Serve
from tests.waiting import eventually

# Its clients have the time to go on elsewhere.
NOT_SOON_DEAD = {"SILO_SERVER_DEAD_SECONDS": "120", "SILO_SESSION_TIMEOUT_MINUTES": "15"}
ACQUIRED, RELEASED = "edit.session_acquired", "edit.session_released"


def die_in_commit(server: Serve, request: Callable[[], Any]) -> None:
    """Have a request committed by a server that does not live to answer it."""
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            sql.lock_event_log()
            asked = thread.submit(request)
            eventually(_somebody_waits_for_the_log, "the request's transaction")
            server.kill()
        with pytest.raises(httpx.TransportError):
            asked.result()


def _somebody_waits_for_the_log() -> bool:
    with connection.cursor() as cursor:
        # The table shows the locks of all databases, those of tests beside this one too.
        cursor.execute(
            "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
        )
        return cursor.fetchone() is not None


@pytest.fixture
def two(serve, client_of):
    """A client of each of two servers, and a stream on the second one that is told of everything."""
    ada, bob = client_of(serve(**NOT_SOON_DEAD), "ada"), client_of(serve(**NOT_SOON_DEAD), "bob")
    return ada, bob, bob.stream(all="true")


def test_an_acquire_is_found_by_its_connection_and_told_once(two, part):
    ada, bob, watching = two
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    own = stream.event("stream-open")["data"]["connection_id"]

    die_in_commit(ada.server, lambda: ada.acquire(part, workstation, connection_id=own))

    eventually(lambda: EditSession.objects.exists())
    ada.server = bob.server
    ada.stream(workstation_id=workstation)
    [held] = ada.held(part)
    assert held["connection_id"] == own
    # The same for a client that asks again.
    again = ada.acquire(part, workstation).json()
    assert again["existing"]
    assert (again["id"], again["fencing_token"]) == (held["id"], held["fencing_token"])
    last = ada.acquire(make_item("told-last").part_number, workstation).json()
    watching.event(ACQUIRED, session_id=last["id"])
    told = [one["data"]["session_id"] for one in watching.named(ACQUIRED)]
    assert told == [held["id"], last["id"]]
    assert LogEntry.objects.filter(type=ACQUIRED).count() == 2


def test_a_release_has_happened_and_is_told_once(two, part):
    ada, bob, watching = two
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    url = f"/api/items/{part}/edit-sessions"
    ada.acquire(part, workstation)
    [first] = ada.held(part)

    die_in_commit(ada.server, lambda: ada.call("DELETE", f"{url}/{first['id']}"))

    eventually(lambda: not EditSession.objects.exists())
    ada.server = bob.server
    assert ada.call("DELETE", f"{url}/{first['id']}").status_code == 404
    second = ada.acquire(part, workstation).json()
    assert ada.call("DELETE", f"{url}/{second['id']}").status_code == 204
    watching.event(RELEASED, session_id=second["id"])
    told = [one["data"]["session_id"] for one in watching.named(RELEASED)]
    assert told == [first["id"], second["id"]]
    assert EndedSession.objects.count() == 2


def test_others_are_refused_what_it_acquired(two, part):
    ada, bob, _ = two
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)

    die_in_commit(ada.server, lambda: ada.acquire(part, workstation))

    eventually(lambda: EditSession.objects.exists())
    assert bob.acquire(part, bob.workstation("cad-2")).status_code == 409
