"""What a cache of the database's answers keeps, and for how long it is used."""

import threading
from types import SimpleNamespace

import psycopg
import pytest

from events_app.database import notification_thread, notified_cache
from events_app.database.notification_thread import NotificationThread
from events_app.database.notified_cache import EVERYTHING, TRUSTED_SECONDS, Answer, NotifiedCache
from tests.waiting import eventually


class World:
    """A database with one value for each key, the cache in front of it, and a clock."""

    def __init__(self):
        self.now = 100.0
        self.values = {"a": 1, "b": 2}
        self.asked = []
        self.cache = NotifiedCache("channel", lambda: self.now)
        self.while_asking = lambda: None

    def ask(self, keys):
        self.asked.append(set(keys))
        answers = {key: Answer(self.values[key], key, 60.0) for key in keys if key in self.values}
        self.while_asking()
        return answers

    def find(self, *keys):
        """Return what is found, and how many questions that took."""
        before = len(self.asked)
        return self.cache.find(keys, self.ask), len(self.asked) - before


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(notified_cache, "connection", SimpleNamespace(in_atomic_block=False))
    return World()


@pytest.fixture
def listening(world):
    world.cache.listening()
    world.cache.proved(world.now)
    return world


def test_where_nobody_listens_every_look_up_is_a_query(world):
    assert world.find("a") == ({"a": 1}, 1)
    assert world.find("a") == ({"a": 1}, 1)


def test_what_is_known_is_not_asked_for(listening):
    listening.find("a")
    assert listening.find("a", "b") == ({"a": 1, "b": 2}, 1)
    assert listening.asked[-1] == {"b"}
    assert listening.find("a", "b") == ({"a": 1, "b": 2}, 0)
    assert listening.cache.known("a") == 1


def test_what_the_database_does_not_have_is_asked_for_again(listening):
    assert listening.find("x") == ({}, 1)
    assert listening.find("x") == ({}, 1)


def test_it_is_trusted_for_a_second_from_before_the_proof(listening):
    listening.find("a")
    listening.now += TRUSTED_SECONDS
    assert listening.find("a")[1] == 0
    listening.now += 0.01
    assert listening.find("a")[1] == 1
    assert listening.cache.known("a") is None


def test_the_moment_of_the_question_counts_and_not_that_of_the_answer(listening):
    listening.find("a")
    asked_at, listening.now = listening.now, listening.now + 0.9
    listening.cache.proved(asked_at)
    listening.now += 0.2
    assert listening.find("a")[1] == 1


@pytest.mark.parametrize("payload", ["a", EVERYTHING])
def test_a_notification_drops_what_it_is_about(listening, payload):
    listening.find("a", "b")
    listening.values["a"] = 5
    listening.cache.notified(payload)
    assert listening.find("a") == ({"a": 5}, 1)
    assert listening.find("b")[1] == (0 if payload else 1)


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda cache, now: cache.notified("a"),
        lambda cache, now: cache.notified(EVERYTHING),
        lambda cache, now: cache.lost(),
        lambda cache, now: (cache.lost(), cache.listening(), cache.proved(now)),
    ],
)
def test_an_answer_to_a_question_from_before_a_change_is_not_kept(listening, meanwhile):
    listening.while_asking = lambda: meanwhile(listening.cache, listening.now)
    assert listening.find("a") == ({"a": 1}, 1)
    listening.while_asking = lambda: None
    listening.cache.proved(listening.now)
    assert listening.find("a")[1] == 1


def test_what_a_transaction_sees_is_not_kept(listening, monkeypatch):
    monkeypatch.setattr(notified_cache, "connection", SimpleNamespace(in_atomic_block=True))
    assert listening.find("a")[1] == 1
    assert listening.find("a")[1] == 1


def test_a_loss_empties_it(listening):
    listening.find("a")
    listening.cache.lost()
    listening.cache.listening()
    listening.cache.proved(listening.now)
    assert listening.find("a")[1] == 1


def test_while_notifications_do_not_arrive_every_look_up_is_a_query(listening):
    listening.find("a")
    listening.cache.deafened(True)
    listening.cache.proved(listening.now)
    assert [listening.find("a")[1] for _ in range(2)] == [1, 1]
    assert listening.cache.known("a") is None
    listening.cache.deafened(False)
    assert [listening.find("a")[1] for _ in range(2)] == [1, 0]


def test_an_answer_from_before_notifications_were_lost_is_not_kept(listening):
    listening.while_asking = lambda: [listening.cache.deafened(lost) for lost in (True, False)]
    listening.find("a")
    assert listening.cache.known("a") is None


def test_an_answer_holds_as_long_as_the_database_said(listening):
    listening.find("a")
    listening.now += 59.9
    listening.cache.proved(listening.now)
    assert listening.find("a")[1] == 0
    listening.now += 0.2
    listening.cache.proved(listening.now)
    assert listening.find("a")[1] == 1


def test_an_answer_that_holds_no_more_is_not_used(listening):
    listening.cache.find(["a"], lambda keys: {"a": Answer(1, "a", -0.1)})
    assert listening.find("a")[1] == 1


def test_it_keeps_no_more_than_its_bound(listening, monkeypatch):
    monkeypatch.setattr(notified_cache, "MAX_ENTRIES", 2)
    listening.values["c"] = 3
    for key in "abc":
        listening.find(key)
    assert listening.find("c")[1] == listening.find("b")[1] == 0
    assert listening.find("a")[1] == 1
    # What was dropped is no trouble to a notification.
    for key in "abc":
        listening.cache.notified(key)
    assert listening.find("a", "b", "c")[1] == 1


@pytest.mark.parametrize("is_asked_to_stop", [True, False])
def test_a_connection_that_is_lost_at_a_stop_is_not_warned_of(
    world, monkeypatch, caplog, is_asked_to_stop
):
    monkeypatch.setattr(notification_thread.sql, "parameters_for", lambda purpose: {})
    thread = NotificationThread(world.cache)

    def connect(**_):
        (thread.stop if is_asked_to_stop else threading.Timer(0.1, thread.stop).start)()
        raise psycopg.OperationalError("terminated")

    monkeypatch.setattr(psycopg, "connect", connect)
    thread.start()
    eventually(lambda: thread.ended)
    assert bool(caplog.records) is not is_asked_to_stop
