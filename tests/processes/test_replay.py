"""`Last-Event-ID`: every missed event once, in order, on whichever process."""

import threading
from contextlib import ExitStack, closing
from datetime import timedelta

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Now

from events_app.database import sql
from events_app.log import event_log
from events_app.log.event_log import NewEvent
from events_app.models import LogEntry
from sessions_app import operations
from sessions_app.models import Item, Workstation
from tests.factories import acquire, let_go, make_item, make_user, make_workstation
from tests.processes.connections import connect, get
from tests.system import megabytes
from tests.waiting import eventually

MB = 1024 * 1024


def say(*words: str, channel: str = "all") -> list[int]:
    with transaction.atomic():
        return event_log.append([NewEvent([channel], "edit.test", {"word": w}) for w in words])


def words(stream) -> list[str]:
    return [event["data"]["word"] for event in stream.named("edit.test")]


def test_what_was_missed_comes_on_another_server_once_and_in_order(serve, client_of):
    ada = client_of(serve())
    first = ada.stream(all="true")
    say("seen")
    first.event("edit.test", word="seen")
    first.kill()
    say("missed 1", "missed 2")
    ada.server = serve()
    back = ada.stream(all="true", last_event_id=first.last_event_id)
    say("live")
    back.event("edit.test", word="live")
    assert words(back) == ["missed 1", "missed 2", "live"]
    assert not back.named("stream-reset")


def test_stream_open_of_a_resumed_stream_carries_the_id_that_was_brought(serve, client_of):
    """Who dies in the middle of the replay has lost nothing."""
    ada = client_of(serve())
    first = ada.stream(all="true")
    say("one")
    brought = first.event("stream-open")["id"]
    back = ada.stream(all="true", last_event_id=brought)
    assert back.event("stream-open")["id"] == brought
    assert back.event("edit.test")["id"] > brought


def test_a_browser_can_bring_the_id_in_the_query(serve, client_of):
    ada = client_of(serve())
    start = ada.stream(all="true").event("stream-open")["id"]
    say("missed")
    url = f"{ada.server.url}/api/events?all=true&last_event_id={start}"
    from tests.processes.service import SseClient

    with closing(SseClient(url, ada.token)) as stream:
        stream.event("edit.test", word="missed")


@pytest.mark.alone
def test_nothing_is_lost_or_doubled_where_the_log_gives_over_to_the_relay(serve, client_of):
    """Streams open while events are being written as fast as they can be."""
    server = serve()
    ada = client_of(server)
    start = ada.stream(all="true").event("stream-open")["id"]
    stop = threading.Event()
    written: list[str] = []

    def write() -> None:
        try:
            while not stop.is_set():
                batch = [str(len(written) + n) for n in range(3)]
                say(*batch)
                written.extend(batch)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        streams = [ada.stream(all="true", last_event_id=start) for _ in range(8)]
        eventually(lambda: len(written) > 1500)
    finally:
        stop.set()
        writer.join()
    for stream in streams:
        eventually(lambda stream=stream: len(stream.named("edit.test")) >= len(written))
        assert words(stream) == written


def test_events_of_sessions_held_meanwhile_come_too(serve, client_of, part):
    """A workstation that was away gets what happened on the items on which it held a session then, its end too."""
    ada = client_of(serve())
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    cursor = stream.last_event_id
    ada.server.kill()

    # Acquired on another item, met by somebody else, ended: all while no stream of it was open.
    here = Workstation.objects.get(pk=workstation)
    item = make_item("B-2")
    mine = acquire(here, item, "mine").session
    theirs = acquire(make_workstation(make_user("eve")), item, "theirs").session
    operations.release.force_release(mine.pk, by="root", note="why")
    let_go(theirs.pk)

    ada.server = serve()
    back = ada.stream(workstation_id=workstation, last_event_id=cursor)
    back.event("edit.force_released", session_id=str(mine.pk), by="root", reason="why")
    back.event("edit.session_released", session_id=str(mine.pk), reason="force_released")
    told = [
        (e["event"], e["data"]["session_id"]) for e in back.events if e["event"].startswith("edit.")
    ]
    assert told == [
        ("edit.session_acquired", str(mine.pk)),
        ("edit.session_acquired", str(theirs.pk)),
        ("edit.force_released", str(mine.pk)),
        ("edit.session_released", str(mine.pk)),
    ], "the end of what was on the item after its own session is none of its business"


def test_beyond_the_retention_there_is_a_reset(serve, client_of):
    ada = client_of(serve())
    stream = ada.stream(all="true")
    cursor = stream.last_event_id
    say("old")
    LogEntry.objects.update(created_at=Now() - Value(timedelta(days=2)))
    event_log.trim(timedelta(days=1), limit=100)
    (new,) = say("new")
    back = ada.stream(all="true", last_event_id=cursor)
    assert back.event("stream-reset")["id"].endswith(f"-{new}")
    say("newer")
    back.event("edit.test", word="newer")
    assert words(back) == ["newer"]


@pytest.mark.alone
def test_replays_take_memory_by_the_page_however_much_there_is_to_read(serve, client_of):
    """Four clients that read slowly, and 40 MB for each: they are read from the log as the clients go on."""
    ada = client_of(serve())
    start = ada.stream(all="true").event("stream-open")["id"]
    before = megabytes(ada.server.pid, "VmHWM")
    with transaction.atomic():
        event_log.append(
            [NewEvent(["all"], "edit.test", {"word": "x" * MB, "number": n}) for n in range(40)]
        )
    with ExitStack() as opened:
        # They have little room for what they have not read.
        slow = [opened.enter_context(connect(ada.server, buffer=64 * 1024)) for _ in range(4)]
        for reader in slow:
            reader.sendall(get(ada, "/api/events?all=true", f"Last-Event-ID: {start}"))
        for reader in slow:
            read = 0
            while read < 3 * MB:
                read += len(reader.recv(MB))
        taken = megabytes(ada.server.pid, "VmHWM") - before
        # Its own relay passes on the same.
        assert taken < 60, taken
        # Each of them is still served.
        ada.stream(all="true").event("heartbeat")


def test_a_killed_relay_connection_loses_nothing(serve, client_of):
    ada = client_of(serve())
    stream = ada.stream(all="true")
    everything = [str(number) for number in range(60)]
    for number in everything:
        say(number)
        if int(number) % 10 == 0:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'silo relay' AND datname = current_database()"
                )
    eventually(lambda: len(stream.named("edit.test")) >= len(everything))
    assert words(stream) == everything


def test_a_snapshot_and_the_events_after_its_cursor_make_a_fresh_snapshot(serve, client_of, part):
    ada = client_of(serve())
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation, object_id="before")
    path = "/api/edit-sessions?all=true"
    stale = ada.call("GET", path).json()
    ids = {session["id"] for session in stale["sessions"]}
    for number in range(5):
        session = ada.acquire(part, workstation, object_id=str(number)).json()
        if number % 2:
            let_go(session["id"])
    fresh = ada.call("GET", path).json()

    stream = ada.stream(all="true", last_event_id=stale["cursor"])
    eventually(lambda: stream.last_event_id == fresh["cursor"])
    for event in stream.events:
        if event["event"] == "edit.session_acquired":
            ids.add(event["data"]["session_id"])
        elif event["event"] == "edit.session_released":
            ids.discard(event["data"]["session_id"])
    assert ids == {session["id"] for session in fresh["sessions"]}


def test_a_notification_that_nobody_hears_costs_time_only(serve, client_of):
    """The log is read at least every few seconds, notified or not."""
    ada = client_of(serve())
    stream = ada.stream(all="true")
    parameters = sql.listen_parameters()
    with psycopg.connect(**parameters, autocommit=True) as quiet:
        quiet.execute(
            "INSERT INTO events_app_logentry (channels, type, data) VALUES"
            " ('{all}', 'edit.test', '{\"word\": \"unannounced\"}')"
        )
    stream.event("edit.test", word="unannounced")
    assert Item.objects.count() == 0
