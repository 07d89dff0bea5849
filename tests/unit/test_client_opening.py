"""What a stream begins with where the workstation holds more than its first event names."""

import asyncio
import json

import httpx
import pytest

from silo_client.helper import event_stream
from silo_client.helper.event_stream import EventStream
from silo_client.helper.lease import Lease
from tests.unit.test_client_evidence import WITH_GRACE

PAGES = {
    "1": {"sessions": [{"session_id": "s2"}], "next": 2},
    "2": {"sessions": [{"session_id": "s3"}], "next": None},
}


class Server:
    """Answers with a stream, and with the pages of a list.

    Args:
        page: answers the request for a page.
        opening: members of `stream-open`.
    """

    def __init__(self, page, **opening):
        data = {"connection_id": "c1", "sessions": [{"session_id": "s1"}], "timings": WITH_GRACE}
        self.stream = (
            f"event: stream-open\nid: e-1\ndata: {json.dumps(data | opening)}\n\n"
            'event: edit.session_released\nid: e-2\ndata: {"session_id": "s3"}\n\n'
        )
        self.page = page
        self.asked = []

    async def __call__(self, request):
        if request.url.path == "/api/events":
            return httpx.Response(
                200, headers={"Content-Type": "text/event-stream"}, text=self.stream
            )
        self.asked.append(request.url.params)
        return await self.page(request.url.params["after"])


async def give(after):
    return httpx.Response(200, json=PAGES[after])


def read(server, close_after=None):
    """Read a stream of the server; return it, and what was handled: the first event with what it had then."""
    handled, evidence = [], Lease()

    async def main():
        async with httpx.AsyncClient(
            base_url="http://silo", transport=httpx.MockTransport(server)
        ) as http:
            stream = EventStream(http, [("workstation_id", "w1"), ("ack", "true")], evidence)

            def handle(sse):
                held = [one["session_id"] for one in stream.opening["sessions"]]
                handled.append((sse.event, held, stream.opening.get("next")))

            opening = asyncio.create_task(stream.open("", handle, lambda: None))
            if close_after is not None:
                await close_after.wait()
                opening.cancel()
                await asyncio.wait({opening})
            else:
                await opening
            await stream.ended.wait()
            return stream

    return asyncio.run(asyncio.wait_for(main(), 20)), handled


def test_all_pages_are_read_before_stream_open_is_handled():
    server = Server(give, next=1)
    _, handled = read(server)
    assert handled == [
        ("stream-open", ["s1", "s2", "s3"], None),
        # What has ended since is told afterwards.
        ("edit.session_released", ["s1", "s2", "s3"], None),
    ]
    assert [(asked["workstation"], asked["after"]) for asked in server.asked] == [
        ("w1", "1"),
        ("w1", "2"),
    ]


@pytest.mark.parametrize("opening", [{}, {"next": None}], ids=["older server", "all"])
def test_single_page_needs_no_request(opening):
    server = Server(give, **opening)
    _, handled = read(server)
    assert handled[0] == ("stream-open", ["s1"], None)
    assert not server.asked


async def refuse(after):
    return httpx.Response(503, json={"error": "unavailable", "message": "Later."})


async def answer_as_a_stranger(after):
    return httpx.Response(200, text="<html>")


async def break_off(after):
    raise httpx.ReadError("gone")


async def say_nothing(after):
    await asyncio.sleep(60)


@pytest.mark.parametrize("page", [refuse, answer_as_a_stranger, break_off, say_nothing])
def test_failed_page_leaves_next_and_the_stream_goes_on(page, monkeypatch):
    monkeypatch.setattr(event_stream, "REST_SECONDS", 0.2)

    async def give_one_page(after):
        return await (give if after == "1" else page)(after)

    stream, handled = read(Server(give_one_page, next=1))
    assert handled[0] == ("stream-open", ["s1", "s2"], 2)
    assert handled[1][0] == "edit.session_released"
    assert stream.why == "the server closed it"


def test_a_stream_that_is_given_up_meanwhile_ends_at_once():
    asked = asyncio.Event()

    async def wait(after):
        asked.set()
        await asyncio.sleep(60)

    _, handled = read(Server(wait, next=1), close_after=asked)
    assert not handled
