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
    assert kinds(expected)[4:] == ["interference", "interference", "line_changed"]
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


Told = list[Entry]


def _changed(told: Told, **data: Any) -> Told:
    """Return the events with other data."""
    return [entry._replace(data=entry.data | data) for entry in told]


def _to(told: Told, channels: Callable[[frozenset[str]], frozenset[str]]) -> Told:
    """Return the events to other channels."""
    return [entry._replace(channels=channels(entry.channels)) for entry in told]


CYN = {"id": "id-of-cyn-1", "name": "cyn-1"}
# What a broken server would tell in place of these events.
FORGED_EVENTS: dict[str, Callable[[Told], Told]] = {
    "an event is missing": lambda told: told[:-1],
    "an event comes twice": lambda told: [*told, told[0]._replace(id=told[-1].id + 1)],
    "granted before released": lambda told: [
        e._replace(id=other.id) for e, other in zip(reversed(told), told, strict=True)
    ],
    "ids go back": lambda told: [entry._replace(id=1) for entry in told],
    "told to too few": lambda told: _to(told, lambda to: to - {"workstation:id-of-cyn-1"}),
    "told to too many": lambda told: _to(told, lambda to: to | {"user:1"}),
    "another reason": lambda told: [*_changed(told[:1], reason="expired"), *told[1:]],
    "another instance's": lambda told: [*told[:1], *_changed(told[1:], connection_id="another")],
    "a line of another length": lambda told: _changed(told, length=9),
    "a token that does not grow": lambda told: _changed(told, fencing_token=1),
    "somebody else is next": lambda told: [
        *told[:1],
        *_changed(told[1:], workstation=CYN, user="cyn"),
    ],
    "interference that only one knows": lambda told: [
        e for e in told if (e.type, e.data.get("user")) != ("edit.interference", "cyn")
    ],
    "interference with somebody else": lambda told: [
        *told[:-2],
        *_changed(told[-2:-1], **{"with": told[-2].data}),
        told[-1],
    ],
    "a node that is not shared": lambda told: [
        *told[:-2],
        *_changed(told[-2:-1], shared=["z"]),
        told[-1],
    ],
}


def _show(world: World, listed: list[Any]) -> None:
    world.listed = lambda: listed  # type: ignore[method-assign]


# What it would show in its list or its record.
FORGED_WORLDS: dict[str, Callable[[World, Expected], Any]] = {
    "a list that shows nobody met": lambda world, _: _show(
        world, [one | {"interferes_with": []} for one in world.listed()]
    ),
    "no record": lambda world, _: world.history.pop(0),
    "two records": lambda world, _: world.history.insert(0, world.history[0]),
    "an old record is gone": lambda world, _: world.history.pop(),
    "a session stays": lambda world, expected: _show(
        world, [*world.listed(), world.shown(expected.ended[0].session)]
    ),
}


def _released() -> tuple[World, Expected, Told]:
    """Return a world in which a session has just been passed on, and what an honest server tells of it."""
    world = World()
    world.check(world.acquire("ada-1"))
    world.check(world.model.release(world.user("ada"), world.model.sessions[BOLT]))
    world.check(world.acquire("ada-1"))
    world.check(world.acquire("cyn-1", WHOLE))
    world.check(world.stand("bob-1"))
    expected = world.model.release(world.user("ada"), world.model.sessions[BOLT])
    return world, expected, world.tell(expected)


def test_finds_nothing_wrong_with_an_honest_server() -> None:
    world, expected, told = _released()
    world.check(expected, told)


@pytest.mark.parametrize("forge", FORGED_EVENTS.values(), ids=FORGED_EVENTS)
def test_finds_forged_events(forge: Callable[[Told], Told]) -> None:
    world, expected, told = _released()
    with pytest.raises(AssertionError):
        world.check(expected, forge(told))


@pytest.mark.parametrize("forge", FORGED_WORLDS.values(), ids=FORGED_WORLDS)
def test_finds_a_forged_list_or_record(forge: Callable[[World, Expected], Any]) -> None:
    world, expected, told = _released()
    forge(world, expected)
    with pytest.raises(AssertionError):
        world.check(expected, told)


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
