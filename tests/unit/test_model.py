"""The model says what the contract says, and its comparison finds every kind of broken server."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.slow.comparison import Entry
from tests.slow.model_state import (
    Expected,
    Lock,
    Server,
    Stream,
)
from tests.slow.snapshot import Snapshot
from tests.unit.honest_server import BOLT, NAMES, WHOLE, World

NO_TIME = timedelta(0)


def kinds(expected: Expected) -> list[str]:
    return [event.type.removeprefix("edit.").removeprefix("session_") for event in expected.events]


def test_a_release_passes_on_and_frees() -> None:
    world = World()
    world.check(world.acquire("ada-1"))
    world.check(world.acquire("cyn-1", WHOLE))
    world.check(world.stand("bob-1"))
    session = world.model.sessions[BOLT]
    expected = world.model.release(world.user("ada"), session)
    assert kinds(expected)[:4] == ["released", "acquired", "granted", "interference_resolved"]
    assert kinds(expected)[4:] == ["interference"] * 2
    world.check(expected)
    assert world.model.sessions[BOLT].workstation.name == "bob-1"
    assert not world.model.places


def test_the_line_passes_over_who_is_away() -> None:
    world = World()
    world.check(world.acquire("ada-1"))
    world.stand("bob-1")
    world.stand("cyn-1")
    other = Server("2", 0.0)
    world.model.start(other)
    of_bob = [s for s in world.model.streams if s.workstation.name == "bob-1"]
    world.model.disconnect(of_bob, by_client=False)
    world.check(world.model.release_all(world.user("ada"), world.at("ada-1")))
    assert world.model.sessions[BOLT].workstation.name == "cyn-1"
    assert [place.workstation.name for place in world.model.places] == ["bob-1"]


def test_a_departure_releases_and_loses_the_place() -> None:
    world = World()
    world.check(world.acquire("ada-1"))
    world.stand("bob-1")
    streams = [s for s in world.model.streams if s.workstation.name in ("ada-1", "bob-1")]
    expected = world.model.disconnect(streams, by_client=True)
    assert [(end.session.lock, end.reason) for end in expected.ended] == [(BOLT, "disconnected")]
    assert not world.model.sessions
    assert not world.model.places


def test_a_grace_keeps_what_is_away() -> None:
    world = World(grace=60.0)
    world.check(world.acquire("ada-1"))
    of_ada = [s for s in world.model.streams if s.workstation.name == "ada-1"]
    assert kinds(world.model.disconnect(of_ada, by_client=True)) == ["away"]
    assert kinds(world.model.connect(of_ada)) == ["back"]
    world.model.disconnect(of_ada, by_client=True)
    world.model.sleep(61.0)
    assert kinds(world.model.time_passes()) == ["released"]


def test_a_killed_server_releases_who_left_elsewhere() -> None:
    world = World()
    other = Server("2", 0.0)
    world.model.start(other)
    world.check(world.acquire("ada-1"))
    newer = Stream(world.at("ada-1"), other, 9)
    world.model.connect([newer])
    world.model.beat()
    world.model.kill(world.server)
    assert not kinds(world.model.disconnect([newer], by_client=True))
    world.model.sleep(11.0)
    world.model.beat()
    assert kinds(world.model.clean_up()) == ["released"]


def test_a_refusal_changes_nothing() -> None:
    world = World()
    wanted = [(BOLT, frozenset[str]())]
    expected = world.model.acquire(world.user("bob"), world.at("ada-1"), wanted, None)
    assert (expected.status, expected.error, expected.events) == (403, "forbidden", [])
    assert not world.model.sessions


Forgery = Callable[[World, Expected, list[Entry]], Any]
FORGERIES: list[Forgery] = []


def forgery(function: Forgery) -> Forgery:
    FORGERIES.append(function)
    return function


def _changed(entry: Entry, **data: Any) -> Entry:
    return entry._replace(data=entry.data | data)


@forgery
def nothing(world: World, expected: Expected, told: list[Entry]) -> Any:
    return told


@forgery
def an_event_is_missing(world: World, expected: Expected, told: list[Entry]) -> Any:
    return told[:-1]


@forgery
def an_event_comes_twice(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [*told, told[0]._replace(id=told[-1].id + 1)]


@forgery
def granted_before_released(world: World, expected: Expected, told: list[Entry]) -> Any:
    numbers = [entry.id for entry in told]
    return [e._replace(id=n) for e, n in zip(reversed(told), numbers, strict=True)]


@forgery
def ids_go_back(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [entry._replace(id=1) for entry in told]


@forgery
def told_to_too_few(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [entry._replace(channels=entry.channels - {"workstation:id-of-cyn-1"}) for entry in told]


@forgery
def told_to_too_many(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [entry._replace(channels=entry.channels | {"user:1"}) for entry in told]


@forgery
def another_reason(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [_changed(told[0], reason="expired"), *told[1:]]


@forgery
def another_windows(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [told[0], *(_changed(entry, connection_id="another") for entry in told[1:])]


@forgery
def a_token_that_does_not_grow(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [_changed(entry, fencing_token=1) for entry in told]


@forgery
def somebody_else_is_next(world: World, expected: Expected, told: list[Entry]) -> Any:
    where = {"id": "id-of-cyn-1", "name": "cyn-1"}
    return [told[0], *(_changed(entry, workstation=where, user="cyn") for entry in told[1:])]


@forgery
def interference_that_only_one_knows(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [e for e in told if (e.type, e.data["user"]) != ("edit.interference", "cyn")]


@forgery
def interference_with_somebody_else(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [*told[:-1], _changed(told[-1], **{"with": told[-1].data})]


@forgery
def a_node_that_is_not_shared(world: World, expected: Expected, told: list[Entry]) -> Any:
    return [*told[:-1], _changed(told[-1], shared=["z"])]


@forgery
def a_list_that_shows_nobody_met(world: World, expected: Expected, told: list[Entry]) -> Any:
    listed = [one | {"interferes_with": []} for one in world.listed()]
    world.listed = lambda: listed  # type: ignore[method-assign]
    return told


@forgery
def no_record(world: World, expected: Expected, told: list[Entry]) -> Any:
    world.history.pop(0)
    return told


@forgery
def two_records(world: World, expected: Expected, told: list[Entry]) -> Any:
    world.history.insert(0, world.history[0])
    return told


@forgery
def an_old_record_is_gone(world: World, expected: Expected, told: list[Entry]) -> Any:
    world.history.pop()
    return told


@forgery
def a_session_stays(world: World, expected: Expected, told: list[Entry]) -> Any:
    listed = world.listed()
    world.listed = lambda: [*listed, world.shown(expected.ended[0].session)]  # type: ignore[method-assign]
    return told


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_finds(forge: Forgery) -> None:
    world = World()
    world.check(world.acquire("ada-1"))
    world.check(world.model.release(world.user("ada"), world.model.sessions[BOLT]))
    world.check(world.acquire("ada-1"))
    world.check(world.acquire("cyn-1", WHOLE))
    world.check(world.stand("bob-1"))
    expected = world.model.release(world.user("ada"), world.model.sessions[BOLT])
    told = world.tell(expected)
    forged = forge(world, expected, told)
    if forge is nothing:
        world.check(expected, forged)
        return
    with pytest.raises(AssertionError):
        world.check(expected, forged)


def test_another_cone_tells_both_of_what_begins_and_stops() -> None:
    world = World()
    world.check(world.acquire("ada-1", BOLT, "a"))
    world.check(world.acquire("bob-1", Lock("bolt", "sketch", "nut"), "b"))
    expected = world.acquire("ada-1", BOLT, "b")
    assert kinds(expected) == ["interference"] * 2
    world.check(expected)
    expected = world.acquire("bob-1", Lock("bolt", "sketch", "nut"), "c")
    assert kinds(expected) == ["interference_resolved"] * 2
    world.check(expected)


def test_finds_another_answer() -> None:
    world = World()
    expected = world.acquire("ada-1")
    world.check(expected)
    answer = world.listed()[0] | world.got(expected.answer[0])
    world.comparison.got(expected.answer, [answer])
    for wrong in ({"existing": True}, {"interference": "soft"}, {"idle_since": "2026"}):
        with pytest.raises(AssertionError):
            world.comparison.got(expected.answer, [answer | wrong])
    for status, body in ((500, {"error": "internal"}), (409, {"error": "hard_interference"})):
        with pytest.raises(AssertionError):
            world.comparison.status(expected, status, body)


def test_finds_a_line_out_of_order() -> None:
    world = World()
    world.check(world.acquire("ada-1"))
    places = []
    for position, name in enumerate(("bob-1", "cyn-1"), 1):
        place = world.stand(name).answer.place
        shown = {"id": place.id, "request_id": place.id, "position": position}
        at = {"id": f"id-of-{name}", "name": name}
        shown |= {"part_number": "bolt", "user": NAMES[name], "workstation": at}
        shown |= {"connection_id": world.stream(name).id}
        places.append(shown | {"context_level": "sketch", "object_id": "head"})
    world.comparison.line("bolt", places)
    for wrong in (places[:1], places[::-1], [*places, places[0]], []):
        with pytest.raises(AssertionError):
            world.comparison.line("bolt", wrong)


def test_an_old_list_and_the_events_since_are_a_fresh_list() -> None:
    world = World()
    snapshot = Snapshot([], "epoch-0", NO_TIME)
    told = world.tell(world.acquire("ada-1"))
    listed = [told[0].data | {"id": told[0].data["session_id"]}]
    snapshot.apply(told, NO_TIME)
    snapshot.check(listed, "epoch-1", NO_TIME)
    for wrong in ([], [listed[0] | {"idle_since": "2026-01-01T00:00:00Z"}]):
        with pytest.raises(AssertionError):
            snapshot.check(wrong, "epoch-1", NO_TIME)
    with pytest.raises(AssertionError):
        snapshot.check(listed, "epoch-0", NO_TIME)
