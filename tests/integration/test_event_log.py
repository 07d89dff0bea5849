"""The event log: cursors, trimming, and django-eventstream's storage on it."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Now
from django_eventstream import send_event
from django_eventstream.storage import EventDoesNotExist

from events_app.database import sql
from events_app.log import event_log
from events_app.log.event_log import Cursor, LogState, NewEvent, Trimmed
from events_app.log.storage import EventLogStorage
from events_app.models import Audience, LogEntry

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def say(*words: str, channel: str = "here") -> list[int]:
    return event_log.append([NewEvent([channel], word, {}) for word in words])


def test_a_reader_gets_what_is_on_any_of_its_channels_once_and_in_order():
    start = event_log.state().head.id
    event_log.append([NewEvent(["a", "b"], "both", {}), NewEvent(["c"], "other", {})])
    say("later", channel="b")
    assert [entry.type for entry in event_log.read(["a", "b"], start).entries] == ["both", "later"]


def test_pages_are_limited():
    start = event_log.state().head.id
    ids = say("1", "2", "3")
    assert [entry.id for entry in event_log.read(["here"], start, limit=2).entries] == ids[:2]


def test_pages_are_limited_in_bytes_and_have_one_entry_at_least(monkeypatch):
    monkeypatch.setattr(event_log, "REPLAY_BYTES", 100)
    start = event_log.state().head.id
    large = {"text": "x" * 60}
    ids = event_log.append([NewEvent(["here"], "large", large) for _ in range(3)])
    ids += event_log.append([NewEvent(["here"], "huge", {"text": "x" * 500})])
    pages, more = [], True
    while more:
        page = event_log.read(["here"], start)
        more, start = page.more, page.entries[-1].id if page.entries else start
        pages.append([entry.id for entry in page.entries])
    assert [page for page in pages if page] == [ids[:2], ids[2:]]


STATE = LogState(head=Cursor("abc123", 10), trimmed_through=4)


@pytest.mark.parametrize("id_", [4, 7, 10])
def test_a_cursor_within_the_log_is_continued(id_):
    assert STATE.resume(f"abc123-{id_}") == ("abc123", id_)


@pytest.mark.parametrize(
    "cursor",
    [
        "abc123-3",  # trimmed
        "abc123-11",  # from the future
        "def456-7",  # of another log
        "abc123-",
        "-7",
        "7",
        "abc123-7 ",
        "abc123-\u0667",  # a digit, but not an ASCII one
        "abc123--7",
        "abc123-1e1",
        "abc123-" + "9" * 50,
        "error",
        "\x00",
        "💥",
    ],
)
def test_any_other_cursor_is_not(cursor):
    assert STATE.resume(cursor) is None


def test_a_client_of_an_empty_log_can_go_on_from_it():
    LogEntry.objects.all().delete()
    cursor = str(event_log.state().head)
    say("first")
    assert event_log.state().resume(cursor) is not None


def test_trimming_takes_what_is_old_and_keeps_what_is_new():
    old = say("1", "2", "3")
    LogEntry.objects.filter(pk__in=old).update(created_at=Now() - Value(2 * HOUR))
    (new,) = say("4")
    assert event_log.trim(HOUR, limit=2)
    assert not event_log.trim(HOUR, limit=2)
    assert list(LogEntry.objects.values_list("pk", flat=True)) == [new]
    assert event_log.state().trimmed_through == old[-1]


def test_a_log_trimmed_to_the_end_still_has_its_head():
    (last,) = say("1")
    LogEntry.objects.update(created_at=Now() - Value(2 * HOUR))
    event_log.trim(HOUR, limit=10)
    assert event_log.state().head.id == last
    assert event_log.state().resume(str(event_log.state().head)) is not None


def test_a_reader_of_what_was_trimmed_is_told_so():
    first, _ = say("1", "2")
    LogEntry.objects.update(created_at=Now() - Value(2 * HOUR))
    event_log.trim(HOUR, limit=10)
    with pytest.raises(Trimmed):
        event_log.read(["here"], first)


def test_send_event_writes_to_the_log():
    start = event_log.state().head.id
    send_event("item:1", "hello", {"größe": 1})
    (entry,) = event_log.read(["item:1"], start).entries
    assert (entry.type, json.loads(entry.data)) == ("hello", {"größe": 1})


def test_the_storage_reads_as_the_library_asks():
    storage = EventLogStorage()
    start = storage.get_current_id("here")
    event = storage.append_event("here", "hello", "{}")
    assert event.id == storage.get_current_id("elsewhere")
    assert [e.id for e in storage.get_events("here", start)] == [event.id]
    assert storage.get_events("elsewhere", start) == []
    with pytest.raises(EventDoesNotExist):
        storage.get_events("here", event.id + 1)


def test_no_append_cleans_what_others_left_pending_in_an_index():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.reloptions FROM pg_class c JOIN pg_am ON pg_am.oid = c.relam"
            " WHERE pg_am.amname = 'gin'"
        )
        indexes = dict(cursor.fetchall())
    assert {"events_app_log_channels", "edit_session_cone_keys"} <= indexes.keys()
    assert all("fastupdate=off" in (options or []) for options in indexes.values())


SHARED = frozenset(f"workstation:{number}" for number in range(event_log.AUDIENCE_LEAST))


def say_to_many(*words: str, shared: frozenset[str] = SHARED) -> list[int]:
    return event_log.append([NewEvent([f"to {word}"], word, {}, shared) for word in words])


def test_channels_that_many_events_share_are_named_once_and_get_each_of_them():
    start = event_log.state().head.id
    ids = say_to_many("1", "2", "3")
    assert Audience.objects.count() == 1
    assert max(len(entry.channels) for entry in LogEntry.objects.filter(pk__in=ids)) == 1
    for channel in SHARED:
        assert [entry.id for entry in event_log.read([channel], start).entries] == ids
        assert [entry.id for entry in event_log.read([channel], ids[0]).entries] == ids[1:]
    assert [entry.id for entry in event_log.read(["to 2"], start).entries] == ids[1:2]
    both = event_log.read(["to 2", min(SHARED)], start).entries
    assert [entry.id for entry in both] == ids, "each once"
    assert event_log.read(["another"], start).entries == []


def test_a_relay_reads_the_shared_channels_with_their_first_entry():
    start = event_log.state().head.id
    ids = say_to_many("1", "2")
    with connection.cursor() as cursor:
        cursor.execute(sql.LOG_AFTER, [start, 10, 10_000])
        rows = cursor.fetchall()
    assert [(row[2], row[3]) for row in rows] == [(ids[0], ["to 1"]), (ids[1], ["to 2"])]
    assert rows[0][4] == rows[1][4]
    assert (set(rows[0][5]), rows[1][5]) == (SHARED, None), "once"


@pytest.mark.parametrize(
    ("words", "shared"), [(["alone"], SHARED), (["1", "2"], frozenset(sorted(SHARED)[1:]))]
)
def test_one_event_or_few_channels_need_no_audience(words, shared):
    start = event_log.state().head.id
    ids = say_to_many(*words, shared=shared)
    assert not Audience.objects.exists()
    assert [entry.id for entry in event_log.read([max(shared)], start).entries] == ids


def test_an_audience_is_trimmed_after_its_last_entry():
    say_to_many("1", "2")
    LogEntry.objects.update(created_at=Now() - Value(2 * HOUR))
    event_log.trim(HOUR, 1)
    assert Audience.objects.exists()
    while event_log.trim(HOUR, 1):
        pass
    assert not LogEntry.objects.exists()
    assert not Audience.objects.exists()
