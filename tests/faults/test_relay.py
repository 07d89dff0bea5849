"""The relay's connection is killed again and again while another process publishes."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial

from django.db import connection, transaction

from events_app import timings
from events_app.log import event_log
from events_app.log.event_log import NewEvent
from sessions_app import channels
from tests.waiting import eventually

EVENTS = 500
TYPE = "edit.test"

RELAYS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'silo relay'"
)
KILL = f"SELECT pg_terminate_backend(pid) {RELAYS}"
BACKENDS = f"SELECT pid {RELAYS}"


def publish(numbers, between=lambda: None) -> None:
    """Each in a transaction of its own, as the API does."""
    for number in numbers:
        with transaction.atomic():
            event_log.append([NewEvent([channels.ALL], TYPE, {"number": number})])
        between()


def kill_relays() -> int:
    with connection.cursor() as cursor:
        cursor.execute(KILL)
        return len(cursor.fetchall())


@contextmanager
def relays_killed():
    """Kill the relays of all servers in a loop, from a thread with a connection of its own."""
    over, killed = threading.Event(), []

    def loop() -> None:
        try:
            while not over.wait(0.05):
                killed.append(kill_relays())
        finally:
            connection.close()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def numbers(stream) -> list[int]:
    return [event["data"]["number"] for event in stream.named(TYPE)]


def publish_slowly(killed) -> None:
    """Publish, with enough kills in between."""

    def between() -> None:
        if len(published) % 50 == 0:
            seen = sum(killed)
            eventually(lambda: sum(killed) > seen, "a relay was there to be killed")
        published.append(1)

    published: list[int] = []
    publish(range(EVENTS), between)


def test_a_stream_gets_each_event_once_and_in_order(serve, client_of):
    clients = [client_of(serve(), name) for name in ("ada", "bob")]
    streams = [client.stream(all="true") for client in clients]
    with relays_killed() as killed:
        publish_slowly(killed)
    assert sum(killed) >= EVENTS / 50
    eventually(lambda: all(len(numbers(stream)) >= EVENTS for stream in streams))
    for stream in streams:
        assert numbers(stream) == list(range(EVENTS))
        assert len(stream.named("stream-open")) == 1
        assert not stream.named("stream-reset")
    # What was notified while nothing listened is no sign of a pooler.
    for client in clients:
        assert "relay lost the database" in client.server.output
        assert "notifications are lost" not in client.server.output


def test_a_client_that_changes_between_servers_misses_nothing(serve, client_of):
    """It is killed and resumes at another process, from log to relay, over and over."""
    ada = client_of(serve())
    servers = [ada.server, serve()]
    publisher = threading.Thread(target=lambda: (publish(range(EVENTS)), connection.close()))
    received = []

    def has_more(stream) -> bool:
        return numbers(stream) or len(received) == EVENTS

    stream = ada.stream(all="true")
    publisher.start()
    try:
        with relays_killed():
            while publisher.is_alive() or len(received) < EVENTS:
                eventually(partial(has_more, stream))
                stream.kill()
                received += numbers(stream)
                servers.reverse()
                ada.server = servers[0]
                stream = ada.stream(stream.last_event_id, all="true")
                assert not stream.named("stream-reset")
    finally:
        publisher.join()
    assert received == list(range(EVENTS))


def test_who_was_away_for_all_of_it_gets_all_of_it(serve, client_of):
    ada = client_of(serve())
    stream = ada.stream(all="true")
    stream.kill()
    publish(range(2 * EVENTS))
    kill_relays()
    back = ada.stream(stream.last_event_id, all="true")
    publish(range(2 * EVENTS, 2 * EVENTS + 10))
    eventually(lambda: len(numbers(back)) >= 2 * EVENTS + 10)
    assert numbers(back) == list(range(2 * EVENTS + 10))


def test_a_backend_that_does_not_answer_is_noticed_in_the_time_that_is_named(serve, client_of):
    stream = client_of(server := serve()).stream(all="true")
    with connection.cursor() as cursor:
        cursor.execute(BACKENDS)
        ((backend,),) = cursor.fetchall()
    os.kill(backend, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        server.line("the database does not answer the relay")
        server.line("relay lost the database")
        # A second for a machine that has other things to do.
        assert time.monotonic() - begun < timings.RELAY_PROBE_SECONDS + 1
        publish(range(3))
        eventually(lambda: numbers(stream) == [0, 1, 2])
    finally:
        os.kill(backend, signal.SIGCONT)
