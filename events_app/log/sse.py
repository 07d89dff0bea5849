"""Encodes events as server-sent events, with no line too long."""

import re
from typing import Final

# No line of a stream is longer, in bytes. Readers of lines have limits: asyncio's readline fails at 64 kB, those of
# aiohttp at 128 to 512 kB.
MAX_LINE_BYTES: Final = 32 * 1024

_FIELD: Final = b"data: "
# A piece of JSON up to a comma between two of its values. It never ends within a string, so a line feed after it is
# insignificant. Possessive: without a way back, a text that is no JSON takes no longer than one that is.
_PIECE: Final = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"?|[^",]++)*+,?+', re.DOTALL)
_LINE_END: Final = re.compile(r"\r\n|\r|\n")


def encode(event: str, data: str, event_id: str = "") -> bytes:
    """Return an event with its blank line.

    Long data is told in several `data:` lines. A receiver joins them by line feeds (HTML Living Standard, 9.2.6),
    which stand between two values of the JSON and change nothing.

    Args:
        event: its name.
        data: JSON text. No string in it comes near `MAX_LINE_BYTES`: a line is not broken within one.
        event_id: for `Last-Event-ID`; "" for an event without one.
    """
    head = f"event: {event}\n" + (f"id: {event_id}\n" if event_id else "")
    lines = [line for text in _LINE_END.split(data) for line in _lines(text.encode())]
    return head.encode() + b"".join(_FIELD + line + b"\n" for line in lines) + b"\n"


def _lines(text: bytes) -> list[bytes]:
    most = MAX_LINE_BYTES - len(_FIELD) - 1
    if len(text) <= most:
        return [text]
    lines, begin, end = [], 0, 0
    for piece in _PIECE.finditer(text):
        if piece.end() - begin > most and end > begin:
            lines.append(text[begin:end])
            begin = end
        end = piece.end()
    return [*lines, text[begin:]]
