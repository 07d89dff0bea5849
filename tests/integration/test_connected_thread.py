"""A thread with a connection of its own keeps it, unless it is broken, and hands it back at its end."""

import asyncio
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, transaction

from events_app.database import threads
from events_app.database.threads import ConnectedThread, in_thread
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("committed_db")

BACKEND = "SELECT pg_backend_pid()"
END = "SELECT pg_terminate_backend(%s)"
THERE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"


@pytest.fixture
def thread() -> Iterator[ConnectedThread]:
    one = ConnectedThread("a-test")
    yield one
    one.end()


def ask(statement: str, *params: object) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchone()[0]


def backend_of(thread: ConnectedThread) -> int:
    return asyncio.run(in_thread(thread, ask, BACKEND))


def test_it_is_kept_from_call_to_call(thread, monkeypatch):
    first = backend_of(thread)
    assert backend_of(thread) == first
    # Also after a while, if it works, and after an error.
    monkeypatch.setattr(threads, "UNUSED_SECONDS", -1.0)
    assert backend_of(thread) == first
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(thread, fail_in_a_transaction))
    assert backend_of(thread) == first


def fail_in_a_transaction() -> None:
    with transaction.atomic():
        ask(BACKEND)
        raise ZeroDivisionError


def test_one_that_was_lost_fails_one_call_at_most(thread):
    first = backend_of(thread)
    ask(END, first)
    eventually(lambda: ask(THERE, first) == 0)
    with pytest.raises(OperationalError):
        backend_of(thread)
    assert backend_of(thread) != first


def test_one_that_was_lost_long_ago_fails_no_call(thread, monkeypatch):
    first = backend_of(thread)
    ask(END, first)
    eventually(lambda: ask(THERE, first) == 0)
    monkeypatch.setattr(threads, "UNUSED_SECONDS", -1.0)
    assert backend_of(thread) != first


def test_it_is_handed_back_at_the_end():
    thread = ConnectedThread("a-test")
    kept = asyncio.run(in_thread(thread, lambda: connection._connections[connection._alias]))
    asyncio.run(in_thread(thread, ask, BACKEND))
    assert kept.connection is not None
    thread.end()
    eventually(lambda: kept.connection is None)
