"""What a helper does about what its parent has left: whichever answers and events come."""

import asyncio

import httpx
import pytest

from silo_client.common.obligations import REMEMBERED_CONNECTIONS, Obligations
from silo_client.common.protocol import ABANDONED_SECONDS
from silo_client.data import Lock
from silo_client.helper.cleanup import Cleanup
from tests.unit.told import told

LOCK = Lock("P", "sketch", "A")
EVENT = told(connection_id="c1")


@pytest.fixture
def cleanup():
    """Of a helper at a server that gives these answers, whose connections are `c1` and `c2`."""

    def make(*answers):
        left, messages, asked = list(answers), [], []

        def answer(request):
            asked.append((request.method, request.url.path))
            return left.pop(0) if left else httpx.Response(200, json={"released": 1})

        http = httpx.AsyncClient(base_url="http://silo", transport=httpx.MockTransport(answer))
        made = Cleanup(http, "w1", messages.append)
        made.apply({"connected": ["c1", "c2"]})
        made.messages, made.requests = messages, asked
        return made

    return make


def acquired(cleanup, **changes):
    cleanup.handle("edit.session_acquired", EVENT | changes)


def test_session_of_an_abandoned_request_is_released(cleanup):
    made = cleanup()
    made.apply({"ask": [LOCK]})
    acquired(made)
    assert not made.to_release
    made.apply({"abandon": [LOCK]})
    assert made.to_release == {"s1"}


def test_only_own_sessions_are_released_afterwards(cleanup):
    made = cleanup()
    made.apply({"ask": [LOCK]})
    made.apply({"abandon": [LOCK]})
    acquired(made, workstation={"id": "w2"}, connection_id="c3")
    acquired(made, connection_id="c4")
    acquired(made, connection_id=None)
    acquired(made, object_id="B")
    assert not made.to_release
    acquired(made, connection_id="c2")
    assert made.to_release == {"s1"}


def test_session_of_another_instance_is_not_released(cleanup):
    made = cleanup()
    made.apply({"ask": [LOCK]})
    acquired(made, connection_id="c4")
    made.apply({"abandon": [LOCK]})
    assert not made.to_release


def test_lock_that_is_asked_for_again_is_not_released(cleanup):
    made = cleanup()
    made.apply({"ask": [LOCK]})
    made.apply({"abandon": [LOCK]})
    made.apply({"ask": [LOCK]})
    acquired(made)
    made.apply({"answered": [LOCK], "hold": ["s1"]})
    assert not made.to_release


def test_session_that_begins_late_is_released_only_after_an_outage(cleanup, monkeypatch):
    made = cleanup()
    made.apply({"ask": [LOCK]})
    now = [1000.0]
    monkeypatch.setattr("silo_client.helper.cleanup.time.monotonic", lambda: now[0])
    made.apply({"abandon": [LOCK]})
    now[0] += ABANDONED_SECONDS + 1
    acquired(made)
    assert not made.to_release
    made.opened({"connection_id": "c5", "sessions": []})
    acquired(made, connection_id="c5")
    assert made.to_release == {"s1"}


def test_turn_of_a_left_place_is_released(cleanup):
    made = cleanup()
    made.apply({"stand": [LOCK]})
    made.apply({"leave_line": [LOCK]})
    acquired(made, connection_id="c4")
    assert not made.to_release, "it is another window's"
    acquired(made)
    assert made.to_release == {"s1"}


def test_the_turn_that_comes_before_the_answer_was_read_is_not_forgotten(cleanup):
    made = cleanup()
    made.apply({"ask": [LOCK]})
    made.apply({"stand": [LOCK]})
    acquired(made)
    made.apply({"answered": [LOCK]})
    made.apply({"leave_line": [LOCK]})
    assert made.to_release == {"s1"}


def test_session_of_another_thread_is_not_released_with_the_place(cleanup):
    made = cleanup()
    made.apply({"stand": [LOCK]})
    acquired(made)
    made.apply({"ask": [LOCK]})
    made.apply({"hold": ["s1"]})
    made.apply({"answered": [LOCK]})
    made.apply({"leave_line": [LOCK]})
    assert not made.to_release


@pytest.mark.parametrize("given_up", ["before", "afterwards", "when it was taken"])
def test_session_that_began_in_an_outage_is_in_stream_open(cleanup, given_up):
    made = cleanup()
    made.apply({"ask": [LOCK]})
    if given_up == "before":
        made.apply({"abandon": [LOCK]})
    if given_up == "when it was taken":
        made.apply({"hold": ["s1"], "answered": [LOCK]})
    made.opened({"connection_id": "c5", "sessions": [EVENT]})
    made.opened({"connection_id": "c6", "sessions": [EVENT | {"connection_id": "c4"}]})
    made.apply({"abandon": [LOCK]})
    assert made.to_release == (set() if given_up == "when it was taken" else {"s1"})


def test_leaving_helper_lists_sessions_of_abandoned_requests(cleanup):
    listed = {"sessions": [EVENT, EVENT | {"session_id": "s2", "connection_id": "c4"}]}
    made = cleanup(httpx.Response(200, json=listed))
    made.apply({"ask": [LOCK]})
    made.apply({"abandon": [LOCK]})
    asyncio.run(asyncio.wait_for(made.give_up_all(), 10))
    assert made.requests[-1] == ("POST", "/api/edit-sessions/release")


def test_leaving_helper_reads_all_pages(cleanup):
    others = [EVENT | {"session_id": "s2", "connection_id": "c4"}]
    made = cleanup(
        httpx.Response(200, json={"sessions": others, "next": 7}),
        httpx.Response(200, json={"sessions": [EVENT], "next": None}),
    )
    made.apply({"stand": [LOCK]})
    made.apply({"unstand": [LOCK], "ask": [LOCK]})
    made.apply({"abandon": [LOCK]})
    asyncio.run(asyncio.wait_for(made.give_up_all(), 10))
    assert made.requests == [
        ("GET", "/api/edit-sessions"),
        ("GET", "/api/edit-sessions"),
        ("POST", "/api/edit-sessions/release"),
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_a_place_behind_the_first_page_of_a_line_is_left(cleanup, monkeypatch, fails):
    monkeypatch.setattr("silo_client.helper.cleanup.pause", lambda attempt: 0.01)
    other = {**EVENT, "request_id": "r1", "connection_id": "c4"}
    first = httpx.Response(200, json={"requests": [other], "next": "sketch.1.A"})
    own = {**other, "request_id": "r2", "connection_id": "c1"}
    last = httpx.Response(200, json={"requests": [own], "next": None})
    failure = [first, httpx.Response(503)] if fails else []
    made = cleanup(*failure, first, last, httpx.Response(204))

    async def main():
        made.apply({"stand": [LOCK]})
        made.apply({"leave_line": [LOCK]})
        running = asyncio.create_task(made.run())
        while made.to_leave:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert made.requests[-1] == ("DELETE", "/api/items/P/edit-session-requests/r2")


def test_a_place_that_is_taken_anew_while_the_helper_leaves_stays_known():
    obligations = Obligations()
    obligations.apply({"stand": [LOCK]})
    obligations.apply({"leave_line": [LOCK]})
    obligations.apply({"stand": [LOCK]})
    obligations.apply({"left": [LOCK]})
    assert obligations.lines == {LOCK}
    obligations.apply({"leave_line": [LOCK]})
    obligations.apply({"left": [LOCK]})
    assert not obligations.lines
    assert not obligations.to_leave


def test_turn_that_is_waited_for_again_is_not_released(cleanup):
    made = cleanup()
    made.apply({"stand": [LOCK]})
    made.apply({"leave_line": [LOCK]})
    made.apply({"stand": [LOCK]})
    acquired(made)
    assert not made.to_release


@pytest.mark.parametrize(
    "strange",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(404, text="no backend"),
        httpx.Response(401, json={"detail": "log in to the proxy"}),
        httpx.Response(500, json={"error": "internal_error", "message": "Failed."}),
        httpx.Response(429, json={"error": "too_many_requests", "message": "Slow down."}),
        httpx.Response(503),
    ],
)
def test_foreign_answer_is_retried(cleanup, strange, monkeypatch):
    monkeypatch.setattr("silo_client.helper.cleanup.pause", lambda attempt: 0.01)
    # The line is asked for first.
    line = httpx.Response(200, json={"requests": []})
    made = cleanup(strange, strange, line)

    async def main():
        made.apply({"release": ["s1"], "leave_line": [LOCK]})
        running = asyncio.create_task(made.run())
        while made.to_release or made.to_leave:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert ("POST", "/api/edit-sessions/release") in made.requests


@pytest.mark.parametrize(("owner", "left"), [("c1", True), ("c4", False), (None, True)])
def test_only_its_own_place_is_given_up(cleanup, owner, left):
    place = EVENT | {"request_id": "r1", "connection_id": owner}
    made = cleanup(httpx.Response(200, json={"requests": [place]}))
    made.apply({"stand": [LOCK]})
    asyncio.run(asyncio.wait_for(made.give_up_all(), 10))
    path = "/api/items/P/edit-session-requests"
    assert (("DELETE", f"{path}/r1") in made.requests) is left
    assert made.requests[0] == ("GET", path)


def test_its_own_connections_are_remembered_but_not_for_ever():
    obligations = Obligations()
    obligations.apply({"connected": [str(number) for number in range(REMEMBERED_CONNECTIONS)]})
    obligations.apply({"connected": ["the latest"]})
    assert [obligations.owns({"connection_id": one}) for one in ("0", "1", "the latest", None)] == [
        *(False, True, True, False)
    ]


def test_release_is_reported_before_and_after(cleanup):
    made = cleanup()
    made.apply({"hold": ["s1", "s2"], "release": ["s1"]})

    async def main():
        running = asyncio.create_task(made.run())
        while made.to_release:  # noqa: ASYNC110
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert made.messages == [
        {"releasing": ["s1"]},
        {"done": {"drop": ["s1"], "left": []}},
    ]
    assert made.held == {"s2"}


def test_obligations_are_restored_by_their_command():
    obligations = Obligations()
    for command in (
        {"hold": ["s1", "s2", "s3"], "ask": [LOCK, ["P", "sketch", "B"], ["P", "sketch", "C"]]},
        {"release": ["s1"], "drop": ["s2"], "abandon": [["P", "sketch", "B"]]},
        {"stand": [["Q", "sketch", ""], ["R", "sketch", ""]], "leave_line": [["Q", "sketch", ""]]},
        {"answered": [["P", "sketch", "C"]], "connected": ["c1"]},
        {"connected": ["c2"]},
    ):
        obligations.apply(command)
    again = Obligations()
    again.apply(obligations.as_command())
    assert vars(again) | {"lines": set()} == vars(obligations) | {"lines": set()}
    assert again.lines == obligations.lines - obligations.to_leave
    assert again.asked == {LOCK}


def test_a_session_that_is_acquired_again_is_not_released():
    """The helper was stopped, and reads all at once."""
    began, again = told(connection_id="c1"), Obligations()
    made = Cleanup(httpx.AsyncClient(), "w1", lambda message: None)
    made.apply({"connected": ["c1"]})
    made.apply({"ask": [LOCK]})
    made.handle("edit.session_acquired", began)
    commands = [{"abandon": [LOCK]}, {"ask": [LOCK]}, {"hold": ["s1"]}, {"answered": [LOCK]}]
    for command in commands:
        made.apply(command)
        again.apply(command)
    assert (made.held, made.to_release) == ({"s1"}, set())
    # One that is being released stays so, also for a helper that is started later.
    made.apply({"release": ["s1"]})
    again.apply(made.as_command())
    assert again.to_release == {"s1"}
