"""One order of events: ids become visible ascending, whatever writers do."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from events_app.log import event_log
from events_app.log.event_log import NewEvent
from events_app.models import LogEntry
from sessions_app.models import Item
from tests.factories import acquire, make_item, make_user, make_workstation
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.usefixtures("committed_db")


class OpenTransaction:
    """Does something in a transaction of its own and keeps that open until told to commit."""

    def __init__(self, threads: ThreadPoolExecutor, work) -> None:
        self._work = work
        self.worked = threading.Event()
        self._commit = threading.Event()
        self._future = threads.submit(self._run)

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self._work()
                self.worked.set()
                assert self._commit.wait(PATIENCE_SECONDS)
        finally:
            connection.close()

    def commit(self) -> None:
        self._commit.set()
        self._future.result(PATIENCE_SECONDS)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def say(word: str) -> list[int]:
    with transaction.atomic():
        return event_log.append([NewEvent(["here"], word, {})])


def test_a_writer_that_is_held_open_loses_no_reader_anything(threads):
    start = event_log.state().head.id
    first = OpenTransaction(threads, lambda: say("first"))
    assert first.worked.wait(PATIENCE_SECONDS)
    second = OpenTransaction(threads, lambda: say("second"))

    # A reader comes along while the first has its id and has not committed.
    assert event_log.read(["here"], start).entries == []
    assert not second.worked.is_set(), "the second has drawn an id before the first has committed"

    first.commit()
    assert second.worked.wait(PATIENCE_SECONDS)
    seen = event_log.read(["here"], start).entries
    assert [entry.type for entry in seen] == ["first"]
    second.commit()
    assert [entry.type for entry in event_log.read(["here"], seen[-1].id).entries] == ["second"]


def test_a_reader_that_follows_many_writers_misses_nothing(threads):
    writers, each = 4, 25
    start = event_log.state().head.id

    def write() -> None:
        try:
            for number in range(each):
                say(str(number))
        finally:
            connection.close()

    running = [threads.submit(write) for _ in range(writers)]
    seen: list[int] = []

    def follow() -> bool:
        seen.extend(
            entry.id for entry in event_log.read(["here"], seen[-1] if seen else start).entries
        )
        return len(seen) == writers * each

    eventually(follow, "every event")
    for future in running:
        future.result()
    assert seen == list(LogEntry.objects.order_by("id").values_list("id", flat=True))


def test_a_long_transaction_that_writes_no_event_delays_nobody(threads):
    item, other = make_item("A-1"), make_item("A-2")
    workstation = make_workstation(make_user())
    long = OpenTransaction(
        threads, lambda: Item.objects.filter(pk=other.pk).update(description="x")
    )
    assert long.worked.wait(PATIENCE_SECONDS)
    assert acquire(workstation, item).session.pk
    long.commit()


def test_a_rollback_leaves_no_event_and_does_not_stop_the_others():
    start = event_log.state().head.id
    with transaction.atomic():
        say("never")
        transaction.set_rollback(True)
    say("after")
    assert [entry.type for entry in event_log.read(["here"], start).entries] == ["after"]


def test_events_outside_of_a_transaction_are_refused():
    with pytest.raises(RuntimeError, match="inside the transaction"):
        event_log.append([NewEvent(["here"], "never", {})])
