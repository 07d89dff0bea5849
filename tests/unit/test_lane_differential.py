"""The lane reads and answers what it takes as Twisted and Daphne do, and as h11 reads it; everything else it leaves."""

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events_app.http import lane_parser
from silo.hot_calls import HOT_CALLS
from tests.unit.lane_channels import both, read_by_h11, run

ACQUIRE = b"POST /api/items/P-1/edit-sessions HTTP/1.1\r\n"
HOST = b"Host: a\r\n"
FIELDS = (
    HOST + b"Authorization: Bearer silo_x\r\nX-Forwarded-For: 10.1.2.3, 10.0.0.1\r\nAccept: */*\r\n"
)


def post(line: bytes = ACQUIRE, fields: bytes = FIELDS, body: bytes = b"{}") -> bytes:
    """A request with a body."""
    return line + fields + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


RELEASE = b"DELETE /api/items/P-1/edit-sessions/5 HTTP/1.1\r\n" + FIELDS + b"\r\n"
ALIVE = b"POST /api/workstations/5/alive HTTP/1.1\r\n"
EVENTS = b"GET /api/events?workstation_id=5&item=%C3%A9/b?c HTTP/1.1\r\n"

TAKEN = {
    "acquire": post(),
    "without a body": ALIVE + HOST + b"\r\n",
    "empty body": post(ALIVE, HOST, b""),
    "release": RELEASE,
    "release with a body": post(RELEASE.partition(b"\r\n")[0] + b"\r\n"),
    "release of many": post(b"POST /api/edit-sessions/release HTTP/1.1\r\n"),
    "batch": post(b"POST /api/edit-sessions/batch HTTP/1.1\r\n", body=b"x" * 20_000),
    "verify": post(b"POST /api/items/P-1/edit-sessions/5/verify HTTP/1.1\r\n"),
    "alive": post(ALIVE),
    "keep-alive": post(fields=HOST + b"Connection: Keep-Alive\r\n"),
    "names in any letters": post(fields=b"hOST: a\r\ncontent-TYPE: b\r\n"),
    "no space after a colon": post(fields=b"Host:a\r\nX:\r\nY: \r\nZ: : :\r\n"),
    "octets that are escaped": post(b"POST /api/items/%C3%A9%2F+%20/edit-sessions HTTP/1.1\r\n"),
    "slashes": post(b"POST /api/items//a//b/./../edit-sessions HTTP/1.1\r\n"),
    "body that looks like a request": post(body=RELEASE),
    "stream": EVENTS + FIELDS + b"\r\n",
    "stream without a query": EVENTS.partition(b"?")[0] + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "stream with an empty query": EVENTS.partition(b"?")[0] + b"? HTTP/1.1\r\n" + HOST + b"\r\n",
    "stream with a body": post(EVENTS, HOST),
    "other bytes in a body": post(body=bytes(range(256))),
}

LEFT = {
    "another call": b"GET /api/items HTTP/1.1\r\n" + FIELDS + b"\r\n",
    "another method": ACQUIRE.replace(b"POST", b"PUT") + FIELDS + b"\r\n",
    "small letters": ACQUIRE.replace(b"POST", b"post") + FIELDS + b"\r\n",
    "a query": post(ACQUIRE.replace(b" HTTP", b"?a=b HTTP")),
    "a query before the end of the path": post(ACQUIRE.replace(b"P-1", b"P?1")),
    "a fragment behind a query": EVENTS.replace(b" HTTP", b"#a HTTP") + HOST + b"\r\n",
    "a query that is not UTF-8": EVENTS.replace(b" HTTP", b"%ff HTTP") + HOST + b"\r\n",
    "a character that is none of a query": EVENTS.replace(b" HTTP", b"[ HTTP") + HOST + b"\r\n",
    "only the head of a stream": b"HEAD" + EVENTS[3:] + HOST + b"\r\n",
    "a fragment": post(ACQUIRE.replace(b" HTTP", b"#a HTTP")),
    "a whole URL": post(ACQUIRE.replace(b"/api", b"http://b/api")),
    "HTTP/1.0": post(ACQUIRE.replace(b"1.1", b"1.0")),
    "HTTP/1.2": post(ACQUIRE.replace(b"1.1", b"1.2")),
    "HTTP/0.9": b"POST /api/workstations/5/alive\r\n\r\n",
    "two spaces": post(ACQUIRE.replace(b"POST ", b"POST  ")),
    "space at the end": post(ACQUIRE.replace(b"\r\n", b" \r\n")),
    "a tab": post(ACQUIRE.replace(b"POST ", b"POST\t")),
    "a space in the address": post(ACQUIRE.replace(b"P-1", b"P 1")),
    "not UTF-8": post(ACQUIRE.replace(b"P-1", b"%ff")),
    "not ASCII": post(ACQUIRE.replace(b"P-1", b"\xc3\xa9")),
    "a character that is none of an address": post(ACQUIRE.replace(b"P-1", b'"')),
    "a line feed alone": post().replace(b"\r\n", b"\n", 1),
    "line feeds alone": post().replace(b"\r\n", b"\n"),
    "a line feed in a header": post(fields=HOST + b"A: b\nC: d\r\n"),
    "a carriage return in a header": post(fields=HOST + b"A: b\rC: d\r\n"),
    "NUL in a header": post(fields=HOST + b"A: \0\r\n"),
    "UTF-8 in a header": post(fields=HOST + b"A: \xc3\xa9\r\n"),
    "a tab in a header": post(fields=HOST + b"A:\tb\r\n"),
    "spaces after a header": post(fields=HOST + b"A: b \r\n"),
    "two spaces after a colon": post(fields=HOST + b"A:  b\r\n"),
    "a folded header": post(fields=HOST + b"A: b\r\n c\r\n"),
    "a folded first header": post(fields=b" A: b\r\n" + HOST),
    "a space before a colon": post(fields=HOST + b"A : b\r\n"),
    "no colon": post(fields=HOST + b"what\r\n"),
    "no name": post(fields=HOST + b": b\r\n"),
    "underscore": post(fields=HOST + b"A_B: c\r\n"),
    "no Host": post(fields=b"A: b\r\n"),
    "two Hosts": post(fields=HOST * 2),
    "a header twice": post(fields=HOST + b"A: b\r\na: c\r\n"),
    "two lengths": post(fields=HOST + b"Content-Length: 2\r\n"),
    "two lengths in one": ACQUIRE + HOST + b"Content-Length: 2, 2\r\n\r\n{}",
    "length with a sign": ACQUIRE + HOST + b"Content-Length: +2\r\n\r\n{}",
    "length with a zero": ACQUIRE + HOST + b"Content-Length: 02\r\n\r\n{}",
    "length in hexadecimal": ACQUIRE + HOST + b"Content-Length: 0x2\r\n\r\n{}",
    "no length": ACQUIRE + HOST + b"Content-Length:\r\n\r\n{}",
    "huge length": ACQUIRE + HOST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "larger than the call may have": post(ALIVE, body=b"x" * 5000),
    "chunks": ACQUIRE + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "identity": post(fields=HOST + b"Transfer-Encoding: identity\r\n"),
    "unknown coding": post(fields=HOST + b"Transfer-Encoding: gzip\r\n"),
    "length and chunks": post(fields=HOST + b"Transfer-Encoding: chunked\r\n"),
    "Expect": post(fields=HOST + b"Expect: 100-continue\r\n"),
    "Upgrade": post(fields=HOST + b"Upgrade: h2c\r\nConnection: upgrade\r\n"),
    "WebSocket": post(fields=HOST + b"Upgrade: websocket\r\n"),
    "close": post(fields=HOST + b"Connection: close\r\n"),
    "several connection options": post(fields=HOST + b"Connection: keep-alive, close\r\n"),
    "Trailer": post(fields=HOST + b"Trailer: a\r\n"),
    "TE": post(fields=HOST + b"TE: trailers\r\n"),
    "root path": post(fields=HOST + b"Daphne-Root-Path: /x\r\n"),
    "many headers": post(fields=HOST + b"".join(b"A%d: b\r\n" % n for n in range(100))),
    "a long head": post(fields=HOST + b"A: %s\r\n" % (b"x" * 9000)),
    "an empty line before": b"\r\n" + post(),
    "two empty lines before": b"\r\n\r\n" + post(),
    "nonsense": b"what is this\r\n\r\n",
    "half a head": ACQUIRE + b"Hos",
}


@pytest.mark.parametrize("request_bytes", TAKEN.values(), ids=TAKEN)
def test_a_plain_hot_call_is_taken_and_read_as_by_all_others(request_bytes):
    async def send():
        taken = await both([request_bytes])
        assert [one.data for one in taken] == [request_bytes]

    run(send)


@pytest.mark.parametrize("request_bytes", LEFT.values(), ids=LEFT)
def test_everything_else_is_left_to_twisted(request_bytes):
    async def send():
        assert await both([request_bytes]) == []
        # Neither is what follows it misread.
        await both([request_bytes, post(), RELEASE], pause=20)
        await both([request_bytes + post() + RELEASE])

    run(send)


@pytest.mark.parametrize("last", [RELEASE, b"\r\n" + RELEASE, b"GET / HTTP/1.1\r\n\r\n", b"POST"])
def test_of_requests_that_come_together_none_is_taken_with_a_byte_of_the_next(last):
    async def send():
        taken = await both([post() + post(ALIVE) + last])
        assert [one.data for one in taken] == ([RELEASE] if last == RELEASE else [])

    run(send)


BARE = {"line": ALIVE.replace(b"5", b"%35"), "fields": HOST}
SHORT = post(**BARE, body=b"x")
STREAMS = {
    "hot ones": SHORT + post(**BARE, body=b"123") + post(**BARE, body=b"12"),
    "mixed ones": SHORT + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + LEFT["chunks"] + SHORT,
    "one that closes": SHORT + LEFT["close"] + SHORT,
    "one that is refused": SHORT + LEFT["two lengths"] + SHORT,
    "empty lines": SHORT + b"\r\n" + SHORT + b"\r\n\r\n" + SHORT,
    "folded": LEFT["a folded header"] + post(**BARE, body=SHORT),
}


@pytest.mark.parametrize(("pause", "keep"), [(0, 1), (15, 1), (15, 0)])
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_stream_may_be_cut_at_any_place(stream, pause, keep):
    async def send():
        cuts = range(1, len(stream))
        await asyncio.gather(*(both([stream[:cut], stream[cut:]], pause) for cut in cuts))

    run(send, keep)


@pytest.mark.parametrize("keep", [0, 1])
def test_or_come_byte_by_byte(keep):
    async def send():
        sent = ([bytes([byte]) for byte in stream] for stream in STREAMS.values())
        await asyncio.gather(*(both(pieces, 3) for pieces in sent))

    run(send, keep)


def test_a_body_that_comes_after_its_head_is_still_taken():
    head, body = post(body=b"123456789")[:-9], b"123456789"
    pieces = [head, body[:4], body[4:], RELEASE]

    async def send():
        assert len(await both(pieces, pause=3)) == 2
        assert len(await both(pieces, pause=15)) == 2
        assert [one.data for one in await both([head, body + RELEASE])] == [RELEASE]

    async def send_slowly():
        assert [one.data for one in await both(pieces, pause=15)] == [RELEASE]

    run(send)
    run(send_slowly, keep=0)


# -- at random --

LINES = [
    ACQUIRE,
    ALIVE,
    EVENTS,
    RELEASE.partition(b"\r\n")[0] + b"\r\n",
    b"GET /api/items HTTP/1.1\r\n",
]
HEADERS = [
    HOST,
    b"host:a\r\n",
    b"A: b\r\n",
    b"a: \r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 3\r\n",
    b"content-length: 12\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b" folded\r\n",
    b"X : y\r\n",
    b"Z: \xff\r\n",
]
BODIES = [b"", b"123", b"{}", b"123456789012", b"3\r\nabc\r\n0\r\n\r\n", b"\r\n"]


@st.composite
def requests(draw):
    """A request as it should be, or put together of parts that may not fit."""
    if draw(st.booleans()):
        line = draw(st.sampled_from(LINES[:4]))
        return post(line, draw(st.sampled_from([HOST, FIELDS])), draw(st.sampled_from(BODIES)))
    fields = draw(st.lists(st.sampled_from(HEADERS), max_size=4))
    return (
        draw(st.sampled_from(LINES))
        + HOST
        + b"".join(fields)
        + b"\r\n"
        + draw(st.sampled_from(BODIES))
    )


@st.composite
def streams(draw):
    """Some requests, of which a few bytes may be others, in pieces."""
    data = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data) - 1))
        new = draw(
            st.sampled_from(
                [b"", b" ", b"\r", b"\n", b"\r\n", b"\t", b":", b"\0", b"0", b"a", b"%", b"\xe9"]
            )
        )
        data[at : at + draw(st.integers(0, 2))] = new
        if not data:
            data += b"x"
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=5)))
    return [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


@settings(max_examples=200, deadline=None)
@given(streams(), st.sampled_from([0, 1, 3, 15]), st.sampled_from([0, 1]))
def test_whatever_comes_nothing_is_read_or_answered_differently(pieces, pause, keep):
    run(lambda: both(pieces, pause), keep)


@settings(max_examples=200, deadline=None)
@given(streams())
def test_whatever_the_lane_reads_h11_reads_alike(pieces):
    data = b"".join(pieces)
    found = lane_parser.read(data, HOT_CALLS)
    if isinstance(found, lane_parser.PlainRequest):
        assert read_by_h11(data) == found
    if isinstance(found, lane_parser.Unfinished):
        whole = data + b"x" * (found.size - len(data))
        assert read_by_h11(whole) == lane_parser.read(whole, HOT_CALLS)


def test_the_reader_of_the_head_takes_no_time_that_grows_with_the_square_of_its_length():
    """Its expressions go back over what they have read at most once."""
    slow = ACQUIRE + HOST + b"A:" + b" " * 7000 + b"x" * 900 + b"\x01\r\n\r\n"
    assert lane_parser.read(slow, HOT_CALLS) is None
    assert (
        lane_parser.read(
            b"POST /api/items/" + b"/edit-sessions" * 500 + b"x HTTP/1.1\r\n",
            re.compile(HOT_CALLS.pattern),
        )
        is None
    )
