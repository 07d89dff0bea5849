"""The gate of requests: how many are let in; an answer that is streamed keeps no place."""

import asyncio

import pytest

from events_app.fairness.request_gate import ABORT, STREAMED, limited, place_in
from tests.unit.gate_door import stays

START = {"type": "http.response.start", "status": 200, "headers": [STREAMED]}


class Sent(list):
    async def __call__(self, message):
        self.append(message["type"])


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
