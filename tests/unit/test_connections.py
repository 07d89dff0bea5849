"""Which connections end when there are too many."""

import resource

import pytest

from events_app.http import connections
from events_app.http.connection_clock import Phase
from events_app.http.connections import (
    MOST_UNFINISHED,
    RESERVE,
    TURNED_AWAY,
    Connections,
    Room,
    most,
)


class Connected:
    """A connection that keeps its place until it is asked for it."""

    ended = False

    def __init__(self, of, phase=Phase.ANSWERED, address="10.0.0.1"):
        of.opened(self)
        of.enter_phase(self, address, phase)

    def evict(self):
        self.ended = True


def test_there_is_room_up_to_the_limit():
    of = Connections(2)
    assert of.room() is Room.AVAILABLE
    first, _ = Connected(of), Connected(of)
    assert of.room() is Room.FULL
    of.closed(first)
    assert of.room() is Room.AVAILABLE


def test_an_idle_one_makes_room_for_a_new_one_and_the_oldest_first():
    of = Connections(3)
    idle = [Connected(of, Phase.IDLE) for _ in range(2)]
    busy = Connected(of)
    assert of.room() is Room.AVAILABLE
    assert [one.ended for one in idle] == [True, False]
    assert not busy.ended


def test_half_a_request_makes_room_after_idle_ones():
    of = Connections(2)
    half, idle = Connected(of, Phase.HEAD), Connected(of, Phase.IDLE)
    for ended in ([False, True], [True, True]):
        assert of.room() is Room.AVAILABLE
        assert [half.ended, idle.ended] == ended
    assert of.room() is Room.FULL


def test_the_address_with_the_most_pays():
    of = Connections(4)
    honest = Connected(of, Phase.IDLE, "10.0.0.1")
    greedy = [Connected(of, Phase.IDLE, "10.0.0.2") for _ in range(3)]
    of.room()
    assert not honest.ended
    assert greedy[0].ended


def test_a_connection_with_a_running_request_is_not_closed():
    of = Connections(1)
    one = Connected(of, Phase.HEAD)
    of.enter_phase(one, "10.0.0.1", Phase.ANSWERED)
    assert of.room() is Room.FULL
    assert not one.ended


def test_connections_that_get_a_refusal_are_bounded():
    of = Connections(1)
    for _ in range(1 + TURNED_AWAY):
        Connected(of)
    assert of.room() is Room.OVERFULL


def test_only_so_many_have_sent_half_a_request(monkeypatch):
    monkeypatch.setattr(connections, "MOST_UNFINISHED", 2)
    of = Connections(MOST_UNFINISHED)
    unfinished = [Connected(of, phase) for phase in (Phase.HEAD, Phase.BODY, Phase.HELD)]
    assert [one.ended for one in unfinished] == [True, False, False]


def test_a_closed_connection_is_forgotten():
    of = Connections(10)
    for _ in range(5):
        of.closed(Connected(of, Phase.IDLE))
    assert len(of) == 0


@pytest.mark.parametrize(("limit", "expected"), [(1024, 1024 - RESERVE - TURNED_AWAY), (64, 16)])
def test_a_reserve_of_descriptors_is_left(monkeypatch, limit, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most() == expected
