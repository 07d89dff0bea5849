"""The gate of requests: who is let in, and when; who is refused; an answer that is streamed keeps no place."""

import asyncio

import pytest

from events_app.fairness import callers, request_gate
from events_app.fairness.request_gate import ABORT, STREAMED, Limits, limited, place_in

START = {"type": "http.response.start", "status": 200, "headers": [STREAMED]}


class Sent(list):
    async def __call__(self, message):
        self.append(message["type"])


async def stays():
    """A client that sends nothing more and stays."""
    await asyncio.Event().wait()


def run(*calls):
    """Run applications behind one gate with one place; return what each was sent."""

    async def each():
        sent = [Sent() for _ in calls]

        async def application(scope, receive, send):
            await calls[scope["number"]](scope, send)

        gate = limited(application, 1)
        requests = [gate({"number": n}, stays, send) for n, send in enumerate(sent)]
        async with asyncio.timeout(10):
            results = await asyncio.gather(*requests, return_exceptions=True)
        return sent, results

    return asyncio.run(each())


def test_a_streamed_answer_frees_its_place_but_for_reading_a_page():
    inside = []
    other_is_in, other_may_end = asyncio.Event(), asyncio.Event()

    async def streamed(scope, send):
        await send(START)
        await other_is_in.wait()
        asyncio.get_running_loop().call_soon(other_may_end.set)
        async with place_in(scope):
            inside.append("page")
        await send({"type": "http.response.body"})

    async def ordinary(scope, send):
        other_is_in.set()
        await other_may_end.wait()
        inside.append("request")

    sent, results = run(streamed, ordinary)
    assert results == [None, None]
    # Not both at once: the page waited for the place.
    assert inside == ["request", "page"]
    assert sent[0] == ["http.response.start", "http.response.body"]


def test_a_streamed_answer_that_fails_is_cut_and_leaves_the_gate_as_it_was(caplog):
    async def fails(scope, send):
        await send(START)
        raise RuntimeError("the database is away")

    async def ordinary(scope, send):
        await send({"type": "http.response.start"})

    sent, results = run(fails, ordinary, ordinary)
    assert results == [None, None, None]
    assert sent == [
        ["http.response.start", ABORT],
        ["http.response.start"],
        ["http.response.start"],
    ]
    assert "a streamed answer failed" in caplog.text


def test_any_other_failure_is_the_servers_to_answer():
    async def fails(scope, send):
        raise RuntimeError

    async def ordinary(scope, send):
        await send({"type": "http.response.start"})

    sent, results = run(fails, ordinary)
    assert isinstance(results[0], RuntimeError)
    assert sent == [[], ["http.response.start"]]


def test_without_a_gate_there_is_no_place_to_wait_for():
    async def enter():
        async with place_in({}):
            return True

    assert asyncio.run(enter())


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_than_these_are_let_in(count):
    async def measure():
        inside = most = 0

        async def application(scope, receive, send):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

        gate = limited(application, count)
        await asyncio.gather(*(gate({}, stays, None) for _ in range(10)))
        return most

    assert asyncio.run(measure()) == count


def scope_of(name, address="10.0.0.1", method="GET", **more):
    headers = [(b"authorization", b"Bearer " + name.encode())] if name else []
    return {"headers": headers, "client": (address, 1), "method": method, **more}


class Door:
    """Requests behind one gate. Each is let out by name."""

    def __init__(self, places=3, most=1000, urgent=()):
        self.inside = []
        self.entered = []
        self.refused = []
        self._out = {}
        self._tasks = {}
        limits = Limits(most, most, self._refuse, lambda scope: scope["method"] in urgent)
        self._gate = limited(self._application, places, limits)

    async def _refuse(self, scope, receive, send):
        self.refused.append(scope["name"])

    async def _application(self, scope, receive, send):
        name = scope["name"]
        if user_id := scope.get("becomes"):
            await asyncio.to_thread(request_gate.authenticated, scope, user_id)
        self.entered.append(name)
        self.inside.append(name)
        await self._out[name].wait()
        self.inside.remove(name)

    def ask(self, name, scope, receive=stays):
        self._out[name] = asyncio.Event()
        call = self._gate({**scope, "name": name}, receive, None)
        self._tasks[name] = asyncio.get_running_loop().create_task(call)

    async def settle(self):
        for _ in range(20):
            await asyncio.sleep(0)

    async def let_out(self, name):
        self._out[name].set()
        await self._tasks[name]
        await self.settle()

    async def let_all_out(self):
        while not all(task.done() for task in self._tasks.values()):
            for name in list(self.inside):
                self._out[name].set()
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _known_credentials(monkeypatch):
    monkeypatch.setattr(callers, "known_credentials", callers.KnownCredentials())


def known(name, user_id):
    callers.known_credentials.note(callers.credentials(scope_of(name)), user_id)


def behind(door_test, **options):
    """Run a test of a door in a loop."""

    async def go():
        async with asyncio.timeout(10):
            door = Door(**options)
            await door_test(door)
            await door.let_all_out()

    asyncio.run(go())


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


def test_a_body_received_while_waiting_is_delivered():
    bodies = []

    async def check():
        messages = [
            {"type": "http.request", "body": b"a", "more_body": True},
            {"type": "http.request", "body": b"b"},
        ]

        async def receive():
            return messages.pop(0) if messages else await stays()

        first = asyncio.Event()

        async def application(scope, receive, send):
            if scope["number"] == 0:
                return await first.wait()
            bodies.append((await receive())["body"])
            bodies.append((await receive())["body"])

        gate = limited(application, 1)
        waits = [gate({"number": 0}, stays, None), gate({"number": 1}, receive, None)]
        both = asyncio.gather(*waits)
        await asyncio.sleep(0.01)
        first.set()
        await both

    asyncio.run(check())
    assert bodies == [b"a", b"b"]


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
