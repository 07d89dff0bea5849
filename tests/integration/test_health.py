"""`/ready` asks the database only where its answer matters."""

import asyncio
import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import OperationalError, connection, transaction

from events_app.database import sql
from events_app.database.probe import DatabaseProbe, WriteCheck
from events_app.serving import runtime
from silo.asgi import application

STREAMS = {"sse_clients": 2}
READY = {"status": "ready", "database": "ok", "relay": "ok"} | STREAMS
NO_DATABASE = {
    "status": "not ready",
    "database": "unavailable",
    "relay": "ok",
    "reason": "the database says: no",
} | STREAMS
NOT_READY = {
    "status": "not ready",
    "database": "not asked",
    "relay": "unavailable",
    "reason": "this server is stopping",
} | STREAMS


class Process:
    """What `/ready` sees of a serving process."""

    def __init__(self, *, ready: bool = True, answers: bool = True, warning: str = "") -> None:
        self.ready = ready
        self.warning = warning
        self.answers = answers
        self.asked = 0
        self.unanswered = ""
        self.database_missing = ""
        self.presence = SimpleNamespace(streams={1: "a", 2: "b"})
        self.database = DatabaseProbe(self, patience=5)

    @property
    def unready(self) -> str:
        return "" if self.ready else "this server is stopping"

    def run(self) -> str:
        self.asked += 1
        return "" if self.answers else "the database says: no"


@pytest.fixture
def serving(monkeypatch):
    def make(**how):
        process = Process(**how)
        monkeypatch.setattr(runtime, "_current", process)
        return process

    return make


def request(path="/ready", method="GET", host="localhost"):
    scope = {
        "type": "http",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", host.encode())],
    }
    communicator = ApplicationCommunicator(application, scope)
    communicator.input_queue.put_nowait({"type": "http.request", "body": b""})
    return communicator


async def answer(communicator):
    start = await communicator.receive_output(timeout=10)
    body = b""
    while (part := await communicator.receive_output(timeout=10)).get("more_body"):
        body += part["body"]
    body += part["body"]
    await communicator.wait()
    return start["status"], body


def ready(**how):
    async def ask():
        return await answer(request(**how))

    status, body = asyncio.run(ask())
    return status, json.loads(body)


def test_it_is_ready_when_the_database_answers(serving):
    process = serving()
    assert ready() == (200, READY)
    assert process.asked == 1


def test_a_warning_does_not_keep_traffic_away(serving):
    serving(warning="events are late")
    assert ready() == (200, READY | {"warning": "events are late"})


def test_it_is_not_when_the_database_does_not_answer(serving):
    process = serving(answers=False)
    assert ready() == (503, NO_DATABASE)
    process.answers = True
    assert ready() == (200, READY)


def test_an_unready_process_does_not_query_the_database(serving):
    process = serving(ready=False)
    assert ready() == (503, NOT_READY)
    assert process.asked == 0


def test_an_unready_process_reports_no_earlier_finding(serving):
    process = serving()
    ready()
    process.ready = False
    assert ready() == (503, NOT_READY)


def test_where_nothing_is_served_it_is_not_ready():
    reason = "this process is not `manage.py serve`"
    assert ready() == (503, NOT_READY | {"sse_clients": 0, "reason": reason})


@pytest.mark.parametrize(
    ("how", "status"),
    [({"method": "HEAD"}, 200), ({"method": "OPTIONS"}, 405), ({"host": "evil"}, 400)],
)
def test_it_is_asked_as_other_addresses_are(serving, how, status):
    async def ask():
        return (await answer(request(**how)))[0]

    serving()
    assert asyncio.run(ask()) == status


@pytest.mark.django_db
def test_a_database_that_can_be_written_is_good():
    check = WriteCheck()
    assert [check.run(), check.run()] == ["", ""]


@pytest.mark.usefixtures("committed_db")
def test_a_database_that_cannot_be_written_says_why():
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            reason = WriteCheck().run()
        finally:
            cursor.execute("RESET default_transaction_read_only")
    assert reason == ("the database says: cannot execute CREATE TABLE in a read-only transaction")


def test_where_and_how_a_database_was_not_reached_is_not_told(monkeypatch):
    def fail():
        raise OperationalError("connection to server at 10.0.0.1 failed for user silo")

    monkeypatch.setattr(sql, "applied_migrations", fail)
    monkeypatch.setattr(transaction, "atomic", nullcontext)
    assert WriteCheck().run() == "the database cannot be reached"
