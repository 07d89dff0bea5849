"""Reading an event stream: pieces of any size, comments between events, refusals; and when it is of no use."""

import asyncio
import json

import httpx
import pytest

from silo_client import AuthenticationError
from silo_client.common import clock
from silo_client.helper import event_stream
from silo_client.helper.event_stream import EventStream, Unavailable, pause
from silo_client.helper.lease import Lease, Timings
from tests.unit.test_client_evidence import WITH_GRACE

OPEN = {"connection_id": "c1", "sessions": [], "timings": WITH_GRACE}
TEXT = "a\u2028b\x85c\x0bd größe"
BODY = (
    f"event: stream-open\nid: e-1\ndata: {json.dumps(OPEN)}\n\n"
    "event: heartbeat\ndata: {}\n\n"
    ": keep-alive 0.000\n\n"
    f"event: edit.session_acquired\nid: e-2\ndata: {json.dumps({'part_number': TEXT}, ensure_ascii=False)}\n\n"
    ": keep-alive 0.001\n\n"
    "event: edit.session_released\nid: e-3\ndata: {}\n\n"
).encode()


def transport(body, status=200, size=None, headers=None, seen=None):
    async def pieces():
        for first in range(0, len(body), size or len(body) or 1):
            yield body[first : first + (size or len(body))]

    def handle(request):
        if seen is not None:
            seen.append(request)
        kind = "text/event-stream" if status == 200 else "application/json"
        return httpx.Response(
            status, headers={"Content-Type": kind, **(headers or {})}, content=pieces()
        )

    return httpx.MockTransport(handle)


def read(body=BODY, last_event_id="", **answer):
    """Read it to its end; return the stream and in which order what was handled."""
    order, evidence = [], Lease()

    async def main():
        async with httpx.AsyncClient(
            base_url="http://silo", transport=transport(body, **answer)
        ) as http:
            stream = EventStream(http, [("workstation_id", "w1")], evidence)
            await stream.open(
                last_event_id,
                lambda sse: order.append((sse.event, sse.id, sse.data)),
                lambda: order.append("proof"),
            )
            await stream.ended.wait()
            return stream

    return asyncio.run(main()), order, evidence


@pytest.mark.parametrize("size", [None, 1, 7, 64])
def test_events_and_proofs_come_in_their_order_whatever_the_pieces(size):
    stream, order, evidence = read(size=size)
    names = [each if each == "proof" else each[0] for each in order]
    assert names == [
        "stream-open",
        "heartbeat",
        "proof",
        "edit.session_acquired",
        "proof",
        "edit.session_released",
    ]
    assert json.loads(order[3][2]) == {"part_number": TEXT}
    assert [each[1] for each in order if each != "proof"] == ["e-1", "e-1", "e-2", "e-3"]
    assert (stream.connection_id, stream.last_id) == ("c1", "e-3")
    assert stream.why == "the server closed it"
    assert not stream.is_open
    assert evidence.connected == pytest.approx(clock.now(), abs=5)


def test_request_names_cursor_and_workstation():
    seen = []
    read(last_event_id="e-0", seen=seen)
    assert seen[0].headers["Last-Event-ID"] == "e-0"
    assert seen[0].url.params["workstation_id"] == "w1"


def test_a_line_proves_no_more_than_its_age_and_never_the_future(monkeypatch):
    body = BODY.replace(b"keep-alive 0.001", b"keep-alive 4.5")
    now = iter(1000 + 0.5 * number for number in range(100))
    monkeypatch.setattr(clock, "now", lambda: next(now))
    _, _, evidence = read(body)
    assert evidence.connected < 1000 + 4.5
    stood_still = BODY.replace(b"keep-alive 0.001", b"keep-alive 5000")
    _, _, evidence = read(stood_still)
    assert evidence.connected < 1100


@pytest.mark.parametrize("junk", [b": keep-alive soon\n\n", b": hello\n\n", b"nonsense\n\n", b"\n"])
def test_other_comments_prove_nothing(junk):
    _, order, _ = read(BODY + junk)
    assert order.count("proof") == 2


def test_refusal_is_reported_with_its_reason():
    body = json.dumps({"error": "not_authenticated", "message": "Log in."}).encode()
    with pytest.raises(AuthenticationError, match=r"Log in\."):
        read(body, status=401)


@pytest.mark.parametrize("status", [401, 403, 404, 422])
@pytest.mark.parametrize("body", [b"404 page not found", b'{"detail": "no backend"}', b"[]"])
def test_answer_of_a_proxy_is_never_final(status, body):
    with pytest.raises(Unavailable):
        read(body, status=status)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(503, {"Retry-After": "3"}, 3), (503, {}, 0), (502, {"Retry-After": "soon"}, 0), (429, {}, 0)],
)
def test_temporary_refusal_is_retried(status, headers, seconds):
    with pytest.raises(Unavailable) as caught:
        read(b"no JSON", status=status, headers=headers)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b": keep-alive 0\n\n",
        b"event: stream-open\nid: 1\ndata: {}\n\n",
        b"event: stream-open\ndata: nonsense\n\n",
        b'event: stream-open\ndata: {"connection_id": "c", "sessions": [], "timings": {}}\n\n',
    ],
)
def test_foreign_stream_is_retried(body):
    with pytest.raises(Unavailable):
        read(body)


def test_foreign_page_is_retried():
    with pytest.raises(Unavailable, match="text/event-stream"):
        read(b"<html>", headers={"Content-Type": "text/html"})


def doubt_after(monkeypatch, seconds, line_ago=0.0, heartbeat_ago=0.0, **timings):
    """What is said of a stream of that age whose last line and heartbeat came so long ago."""
    stream, _, _ = read()
    stream.ended.clear()
    stream._timings = Timings.from_payload(WITH_GRACE | timings)
    now = stream._sent + seconds
    monkeypatch.setattr(clock, "now", lambda: now)
    stream._line_at, stream._heartbeat_at = now - line_ago, now - heartbeat_ago
    return stream.why_replace()


def test_healthy_stream_is_not_replaced(monkeypatch):
    assert doubt_after(monkeypatch, 600, line_ago=5.5, heartbeat_ago=31) == ""


@pytest.mark.parametrize(
    ("timings", "silence"),
    [
        ({}, 9.0),  # three quarters of the limit of 12 s
        ({"safe_seconds": 60.0}, 12.5),  # two and a half keep-alives
        ({"safe_seconds": 5.0}, 7.5),  # never less than one and a half
    ],
)
def test_silent_stream_is_replaced_in_time(monkeypatch, timings, silence):
    assert not doubt_after(monkeypatch, 60, line_ago=silence - 0.1, **timings)
    said = doubt_after(monkeypatch, 60, line_ago=silence + 0.1, **timings)
    assert said == "nothing was heard of the server"


def test_stream_without_three_heartbeats_is_replaced(monkeypatch):
    assert doubt_after(monkeypatch, 600, heartbeat_ago=89) == ""
    assert doubt_after(monkeypatch, 600, heartbeat_ago=91) == "three heartbeats are missing"


def test_an_old_stream_is_replaced_before_clocks_drift_apart(monkeypatch):
    assert doubt_after(monkeypatch, 1199) == ""
    assert doubt_after(monkeypatch, 200 * 12 + 1) == "it is old"


def test_lines_from_the_future_say_that_a_clock_has_stood_still():
    assert read(BODY + b": keep-alive 5.9\n\n")[0].why_replace() == ""
    assert read(BODY + b": keep-alive 7.0\n\n")[0].why_replace() == "a clock has stood still"


def test_lines_that_are_too_old_say_so_when_that_lasts(monkeypatch):
    stream, _, _ = read()
    for late, seconds, doubt in [
        (7, 0, ""),
        (7, 59, ""),
        (5, 61, ""),
        (7, 62, ""),
        (7, 123, "a clock has stood still"),
    ]:
        now = stream._sent + seconds
        stream._line_at = stream._heartbeat_at = now
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        stream._note_clocks(late, 6.0)
        assert stream.why_replace() == doubt


def test_pauses_grow_to_eight_seconds_and_differ():
    assert all(0 <= pause(0) <= event_stream.FIRST_TRY_SECONDS for _ in range(100))
    for attempt, longest in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (100_000, 8)]:
        pauses = [pause(attempt) for _ in range(100)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest


def asked(params):
    seen = []

    async def main():
        async with httpx.AsyncClient(
            base_url="http://silo", transport=transport(BODY, seen=seen)
        ) as http:
            stream = EventStream(http, params)
            await stream.open("e-1", lambda sse: None, lambda: None)
            await stream.close()

    asyncio.run(main())
    return seen[0]


def test_few_items_go_in_the_query():
    request = asked([("item", "A"), ("item", "B"), ("all", "true")])
    assert (request.method, str(request.url)) == (
        "GET",
        "http://silo/api/events?item=A&item=B&all=true",
    )


def test_many_items_go_in_a_body():
    names = [f"{number:03}" + "\u00fc" * 190 for number in range(100)]
    request = asked([("workstation_id", "w1"), ("ack", "true"), *(("item", n) for n in names)])
    assert (request.method, str(request.url)) == ("POST", "http://silo/api/events")
    assert json.loads(request.content) == {"workstation_id": "w1", "ack": True, "items": names}
    assert request.headers["Last-Event-ID"] == "e-1"


def test_no_more_items_than_a_server_takes_go_in_a_query_however_short_they_are():
    assert asked([("item", str(number)) for number in range(200)]).method == "GET"
    assert asked([("item", str(number)) for number in range(201)]).method == "POST"


def test_data_in_several_lines_is_one_event():
    data = {"connection_id": "c1", "sessions": [1, 2], "timings": WITH_GRACE}
    lines = "".join(f"data: {line}\n" for line in json.dumps(data).replace(", ", ",\n").split("\n"))
    stream, _, _ = read(f"event: stream-open\nid: e-1\n{lines}\n".encode(), size=7)
    assert stream.opening == data
