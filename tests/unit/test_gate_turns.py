"""The gate of requests: whose turn it is, who is refused, and who gives up its place."""

import asyncio

import pytest

from events_app.fairness import callers, request_gate
from tests.unit.gate_door import behind, known, scope_of


@pytest.fixture(autouse=True)
def _known_credentials(monkeypatch):
    monkeypatch.setattr(callers, "known_credentials", callers.KnownCredentials())


def test_slow_requests_of_one_user_do_not_delay_another_user():
    known("eve", 1)
    known("bob", 2)

    async def check(door):
        for n in range(60):
            door.ask(f"eve-{n}", scope_of("eve"))
        await door.settle()
        # One place is never hers.
        assert door.inside == ["eve-0", "eve-1"]
        door.ask("bob", scope_of("bob"))
        await door.settle()
        assert door.inside == ["eve-0", "eve-1", "bob"]

    behind(check)


def test_with_all_places_taken_another_user_waits_for_one_request_to_end():
    for user_id, name in enumerate(["eve", "mallory", "bob"], 1):
        known(name, user_id)

    async def check(door):
        for n in range(60):
            door.ask(f"eve-{n}", scope_of("eve"))
            door.ask(f"mallory-{n}", scope_of("mallory"))
        await door.settle()
        assert len(door.inside) == 3
        door.ask("bob", scope_of("bob"))
        before = len(door.entered)
        await door.let_out(door.inside[0])
        # In his turn: at most one of each other user before him.
        await door.let_out(next(name for name in door.inside if name != "bob"))
        assert "bob" in door.entered[before : before + 2]

    behind(check)


def test_users_take_turns():
    users = ["ann", "ben", "cat"]
    for user_id, name in enumerate(users, 1):
        known(name, user_id)

    async def check(door):
        for name in users:
            for n in range(5):
                door.ask(f"{name}-{n}", scope_of(name))
        await door.let_all_out()
        order = [name.partition("-")[0] for name in door.entered]
        # The first one came when nobody waited.
        for begin in range(1, 13, 3):
            assert sorted(order[begin : begin + 3]) == users

    behind(check, places=1)


def test_unknown_callers_share_one_place_and_take_turns_by_address():
    known("bob", 1)

    async def check(door):
        for n in range(60):
            door.ask(f"flood-{n}", scope_of("", "10.6.6.6"))
        for n in range(60):
            door.ask(f"other-{n}", scope_of("", "10.7.7.7"))
        door.ask("late", scope_of("nobody knows this", "10.0.0.9"))
        await door.settle()
        assert door.inside == ["flood-0"]
        door.ask("bob", scope_of("bob", "10.6.6.6"))
        await door.settle()
        assert door.inside == ["flood-0", "bob"]
        for name in ("flood-0", "flood-1", "other-0"):
            await door.let_out(name)
        assert "late" in door.entered

    behind(check)


def test_authentication_moves_a_request_and_its_waiting_ones_to_the_user():
    async def check(door):
        for n in range(9):
            door.ask(f"eve-{n}", scope_of("eve", becomes=1))
        door.ask("bob", scope_of("bob", becomes=2))
        await asyncio.sleep(0.1)
        # The place of strangers is free again as soon as it is known whose request has it.
        assert sorted(door.inside) == ["bob", "eve-0", "eve-1"]
        door.ask("third", scope_of("third", becomes=3))
        await door.let_out("eve-0")
        await asyncio.sleep(0.1)
        assert "third" in door.inside

    behind(check)


def test_a_release_goes_first_among_its_users_requests_and_is_never_refused():
    known("eve", 1)

    async def check(door):
        for n in range(6):
            door.ask(f"get-{n}", scope_of("eve"))
        for n in range(6):
            door.ask(f"delete-{n}", scope_of("eve", method="DELETE"))
        await door.settle()
        assert door.refused == ["get-5"]
        await door.let_all_out()
        assert door.entered[:2] == ["get-0", "get-1"]
        assert door.entered[2:8] == [f"delete-{n}" for n in range(6)]

    behind(check, most=3, urgent={"DELETE"})


def test_the_limit_of_waiting_requests_is_per_address(caplog):
    async def check(door):
        for n in range(10):
            door.ask(f"flood-{n}", scope_of(f"wrong-{n}", "10.6.6.6"))
        door.ask("other", scope_of("", "10.0.0.9"))
        await door.settle()
        assert door.refused == [f"flood-{n}" for n in range(5, 10)]
        # The log says it once.
        assert caplog.text.count("requests refused") == 1
        assert "10.6.6.6" in str(vars(caplog.records[0]))

    behind(check, most=4)


def test_a_client_that_leaves_while_it_waits_gives_up_its_place():
    async def check(door):
        left = asyncio.Event()
        sent = [{"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"}]

        async def leaves():
            if len(sent) == 1:
                await left.wait()
            return sent.pop(0)

        door.ask("first", scope_of(""))
        door.ask("leaves", scope_of(""), leaves)
        door.ask("stays", scope_of(""))
        await door.settle()
        assert door.refused == []
        door.ask("too many", scope_of(""))
        await door.settle()
        assert door.refused == ["too many"]
        left.set()
        await door.settle()
        door.ask("next", scope_of(""))
        await door.let_out("first")
        assert door.entered == ["first", "stays"]
        assert door.refused == ["too many"]
        assert request_gate.in_flight == 2

    behind(check, places=1, most=2)


def test_a_cancelled_request_leaves_the_gate_unchanged():
    async def check(door):
        door.ask("inside", scope_of(""))
        door.ask("waits", scope_of(""))
        await door.settle()
        # The one that waits is let in and cancelled in the same turn of the loop.
        door._tasks["inside"].cancel()
        door._out["inside"].set()
        await asyncio.wait({door._tasks["inside"]})
        door._tasks["waits"].cancel()
        await asyncio.wait({door._tasks["waits"]})
        door.ask("next", scope_of(""))
        await door.settle()
        assert door.entered[-1] == "next"
        door._out["next"].set()
        await door._tasks["next"]
        door._tasks.clear()

    behind(check, places=1)
