"""What a server answers to what is no request, or no ordinary one: always in the envelope, and so that it arrives."""

import json

import pytest

import silo
from tests.processes.connections import connect, get, split, statuses, until_closed
from tests.processes.service import Serve

HOST = b"Host: localhost\r\n"
CLOSE = HOST + b"Connection: close\r\n"
LENGTH = b"POST /api/items HTTP/1.1\r\n" + HOST
CHUNKED = LENGTH + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"x" * 20_000
# More than the sockets' buffers hold: a client that is refused is still sending.
HUGE = b"x" * 8_000_000

NO_HTTP = (400, "invalid_request")
TOO_LONG = (414, "uri_too_long")
HEADERS = (431, "header_too_large")
FAULTS = {
    "long address": (b"GET /api/items?%s HTTP/1.1\r\n%s\r\n" % (LONG, HOST), TOO_LONG),
    "huge address": (b"GET /api/items?%s HTTP/1.1\r\n%s\r\n" % (HUGE, HOST), TOO_LONG),
    "address without an end": (b"GET /" + LONG, TOO_LONG),
    "long header": (b"GET /health HTTP/1.1\r\n%sX: %s\r\n\r\n" % (HOST, LONG), HEADERS),
    "huge header": (b"GET /health HTTP/1.1\r\n%sX: %s\r\n\r\n" % (HOST, HUGE), HEADERS),
    "long headers": (
        b"GET /health HTTP/1.1\r\n" + HOST + b"X: %s\r\n" % LONG[:4000] * 5 + b"\r\n",
        HEADERS,
    ),
    "many headers": (b"GET /health HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 500 + b"\r\n", HEADERS),
    "no request": (b"hello\r\n\r\n", NO_HTTP),
    "HTTP/0.9": (b"GET /\r\n\r\n", NO_HTTP),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_HTTP),
    "no Host": (b"GET /health HTTP/1.1\r\n\r\n", NO_HTTP),
    "two Hosts": (b"GET /health HTTP/1.1\r\n" + HOST * 2 + b"\r\n", NO_HTTP),
    "no header": (b"GET /health HTTP/1.1\r\n" + HOST + b"what\r\n\r\n", NO_HTTP),
    "bad name": (b"GET /health HTTP/1.1\r\n" + HOST + b"a b: c\r\n\r\n", NO_HTTP),
    "NUL in a header": (b"GET /health HTTP/1.1\r\n" + HOST + b"a: \0\r\n\r\n", NO_HTTP),
    "two lengths": (LENGTH + b"Content-Length: 2\r\n" * 2 + b"\r\n{}", NO_HTTP),
    "length and chunks": (
        LENGTH + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        NO_HTTP,
    ),
    "negative length": (LENGTH + b"Content-Length: -2\r\n\r\n", NO_HTTP),
    "unknown coding": (LENGTH + b"Transfer-Encoding: gzip\r\n\r\n", NO_HTTP),
    "bad chunk": (CHUNKED + b"zz\r\n", NO_HTTP),
    "chunk that is too short": (CHUNKED + b"2\r\n{}{}\r\n0\r\n\r\n", NO_HTTP),
    "bad address": (b"GET health HTTP/1.1\r\n" + CLOSE + b"\r\n", NO_HTTP),
    "not UTF-8": (b"GET /api/items/%ff/edit-sessions HTTP/1.1\r\n" + CLOSE + b"\r\n", NO_HTTP),
    "not UTF-8 in the query": (
        b"GET /api/items?search=%ff HTTP/1.1\r\n" + CLOSE + b"\r\n",
        NO_HTTP,
    ),
    "not ASCII": (b"GET /\xa0 HTTP/1.1\r\n" + CLOSE + b"\r\n", NO_HTTP),
    "no http": (b"GET ftp://localhost/ HTTP/1.1\r\n" + CLOSE + b"\r\n", NO_HTTP),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\n" + CLOSE + b"\r\n", NO_HTTP),
    "small letters": (b"get /health HTTP/1.1\r\n" + CLOSE + b"\r\n", NO_HTTP),
    "foreign host": (b"GET http://evil/health HTTP/1.1\r\n" + CLOSE + b"\r\n", NO_HTTP),
    "WebSocket": (
        b"GET /api/events HTTP/1.1\r\n" + CLOSE + b"Upgrade: websocket\r\n\r\n",
        (403, "forbidden"),
    ),
    "every address": (b"OPTIONS * HTTP/1.1\r\n" + CLOSE + b"\r\n", (405, "method_not_allowed")),
    # curl sends such an Expect by itself; a 100 after the answer would be taken for the next one's.
    "large body that is expected": (
        LENGTH + b"Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n",
        (413, "body_too_large"),
    ),
}
GOOD = {
    "as long as may be": b"GET /health?%s HTTP/1.1\r\n%sX: %s\r\n\r\n"
    % (LONG[:16_000], CLOSE, LONG[:16_000]),
    "whole URL": b"GET http://localhost/health HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n",
    "whole URL in capitals": b"GET HTTP://LOCALHOST/health?x=1 HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "HTTP/1.0": b"GET /health HTTP/1.0\r\n\r\n",
    "folded header": b"GET /health HTTP/1.1\r\n" + CLOSE + b"a: b\r\n c\r\n\r\n",
    "root path": b"GET /health HTTP/1.1\r\n" + CLOSE + b"Daphne-Root-Path: /x\r\n\r\n",
}


def exchange(server: Serve, request: bytes) -> bytes:
    """Send all of it, and then read until the server closes."""
    with connect(server) as connection:
        connection.sendall(request)
        return until_closed(connection)


def test_what_is_no_request_is_answered_in_the_envelope(serve):
    server = serve()
    answered = {}
    for name, (request, _) in FAULTS.items():
        status, headers, body = split(exchange(server, request))
        assert headers["content-type"] == "application/json"
        assert headers["connection"] == "close"
        assert headers["cache-control"] == "no-store"
        assert int(headers["content-length"]) == len(body), name
        envelope = json.loads(body)
        assert envelope["message"].endswith(".")
        answered[name] = (status, envelope["error"])
    assert answered == {name: expected for name, (_, expected) in FAULTS.items()}
    assert "Traceback" not in server.output


def test_what_is_unusual_and_right_is_served(serve):
    server = serve()
    answered = {name: split(exchange(server, request)) for name, request in GOOD.items()}
    assert {name: body for name, (_, _, body) in answered.items()} == dict.fromkeys(
        GOOD, f'{{"status": "ok", "version": "{silo.__version__}"}}'.encode()
    )


def test_a_fault_behind_good_requests_is_answered_after_them(serve):
    good = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = exchange(serve(), good * 2 + b"nonsense\r\n\r\n" + good)
    assert statuses(answer) == [200, 200, 400]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/api/items?limit=0", b"HTTP/1.1 422 Unprocessable Content"),
        ("/api/nothing", b"HTTP/1.1 404 Not Found"),
    ],
)
def test_a_status_has_its_phrase(serve, client_of, path, line):
    ada = client_of(serve())
    request = get(ada, path, "Connection: close")
    assert exchange(ada.server, request).startswith(line + b"\r\n")
