"""No line of an event is too long, and what its lines say is the same JSON."""

import json
import random
import time

import pytest
from httpx_sse._decoders import SSEDecoder

from events_app.log import sse
from tests.sse import events

TEXTS = ["", "A01-0001", 'quote " and \\ and \\"', "größe, ünd [mehr]", "{,:}", "\u2028", "\\"]


def decoded(body: bytes):
    decoder = SSEDecoder()
    *lines, rest = body.decode().split("\n")
    assert rest == ""
    event = next(event for line in lines if (event := decoder.decode(line)))
    # What the tests' clients read.
    assert list(events(lines)) == [(event.event, event.id, event.data)]
    return event


def longest_line(body: bytes) -> int:
    return max(len(line) + 1 for line in body.split(b"\n"))


def made(count, choose):
    return {
        "sessions": [
            {"id": n, "text": choose.choice(TEXTS) * choose.randrange(20), "at": [1.5, None, {}]}
            for n in range(count)
        ]
    }


@pytest.mark.parametrize("count", [0, 1, 100, 5_000])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_an_event_of_any_size_is_read_as_it_was_meant(count, separators):
    data = made(count, random.Random(count))
    text = json.dumps(data, separators=separators, ensure_ascii=False)
    body = sse.encode("stream-open", text, "e-1")
    assert longest_line(body) <= sse.MAX_LINE_BYTES
    event = decoded(body)
    assert (event.event, event.id, json.loads(event.data)) == ("stream-open", "e-1", data)
    assert event.data.replace("\n", "") == text


def test_short_data_is_one_line():
    assert sse.encode("heartbeat", "{}") == b"event: heartbeat\ndata: {}\n\n"


def test_data_that_has_lines_keeps_them():
    assert sse.encode("x", '{\r\n"a": 1}') == b'event: x\ndata: {\ndata: "a": 1}\n\n'


def test_a_string_is_never_broken():
    data = ["x" * sse.MAX_LINE_BYTES, ",", "," * sse.MAX_LINE_BYTES]
    assert json.loads(decoded(sse.encode("x", json.dumps(data))).data) == data


@pytest.mark.parametrize("text", ['"' * 300_000, "\\" * 300_000, '"\\' * 150_000, "[" * 300_000])
def test_text_that_is_no_json_takes_no_longer(text):
    begun = time.monotonic()
    assert decoded(sse.encode("x", text)).data.replace("\n", "") == text
    assert time.monotonic() - begun < 1
