"""Reads plain HTTP/1.1 requests for the lane. Any other form of a request is Twisted's to read, or to refuse.

Plain requests are a part of those that RFC 9112 allows, in which no two readers can differ: see docs/streams.md.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from events_app.http import base_path
from events_app.http.body import LEAST_LIMIT, READ_AT_ONCE, limit_of
from events_app.http.request import is_utf_8

# Of the request line and all headers together: half of what the server allows.
MAX_HEAD_BYTES: Final = 8 * 1024
MAX_HEADERS: Final = 64
# A client sends the same headers with each of its requests: such a block of bytes is read once, if it is no longer.
_KEPT_BYTES: Final = 1024
_KEPT_BLOCKS: Final = 2048

Headers = tuple[tuple[bytes, bytes], ...]

_END_OF_LINE: Final = b"\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_VERSION: Final = b" HTTP/1.1"

# A path, perhaps with a query, of the characters that RFC 3986 allows.
_TARGET: Final = re.compile(
    rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*)?"
)
# All headers: letters, digits and hyphens; a colon, and one space at most; then printable ASCII, with spaces only
# inside. Nothing that has matched is tried again in another way (++).
_HEADERS: Final = re.compile(rb"(?:[A-Za-z0-9-]++: ?+(?:[!-~](?:[ -~]*[!-~])?+)?+\r\n)++")
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,6}")

# Headers that change how a request is read or answered, or that this server does not believe.
_NOT_PLAIN: Final = frozenset(
    {
        b"daphne-root-path",
        b"expect",
        b"http2-settings",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class PlainRequest(NamedTuple):
    """A whole request.

    Args:
        method: in capitals.
        target: path and query, as they were received.
        headers: names in small letters, in their order; often the same object for the same bytes.
        body: b"" where there is none.
    """

    method: str
    target: bytes
    headers: Headers
    body: bytes


class _Head(NamedTuple):
    """The headers of a plain request, and how many bytes of a body they announce."""

    headers: Headers
    length: int


class Unfinished(NamedTuple):
    """A plain request whose head is here, and whose body is not.

    Args:
        size: how many bytes the whole request has.
    """

    size: int


def read(
    data: bytes, hot_calls: re.Pattern[bytes], base: bytes = b""
) -> PlainRequest | Unfinished | None:
    """Read a request of the lane.

    Args:
        data: what has come, from the first byte of a request.
        hot_calls: matches method and address of the lane's calls, with one space between them.
        base: the path that may stand before these addresses, and is taken away.

    Returns:
        the request; or `Unfinished`, where only a part of its body lacks; or None, where it is no request of the lane,
        or is not plain, or is followed by more.
    """
    line_end = data.find(_END_OF_LINE, 0, MAX_HEAD_BYTES)
    line = data[:line_end]
    if line_end < 0 or not line.endswith(_VERSION):
        return None
    line = line[: -len(_VERSION)]
    if base:
        method, _, target = line.partition(b" ")
        line = b"%b %b" % (method, base_path.without(base, target))
    if not hot_calls.fullmatch(line):
        return None
    method, _, target = line.partition(b" ")
    head_end = data.find(_END_OF_HEAD, line_end, MAX_HEAD_BYTES)
    if head_end < 0 or not _is_plain(target):
        return None
    block = data[line_end + 2 : head_end + 2]
    head = _kept_head(block) if len(block) <= _KEPT_BYTES else _head(block)
    if head is None or not _may_announce(method, target, head.length):
        return None
    size = head_end + len(_END_OF_HEAD) + head.length
    if len(data) < size:
        return Unfinished(size)
    if len(data) > size:
        return None
    return PlainRequest(method.decode(), target, head.headers, data[size - head.length :])


def _is_plain(target: bytes) -> bool:
    return _TARGET.fullmatch(target) is not None and (b"%" not in target or is_utf_8(target))


def _head(block: bytes) -> _Head | None:
    """Read the headers of a plain request, each of which it has once; None where it is none."""
    if block.count(b"\n") > MAX_HEADERS or not _HEADERS.fullmatch(block):
        return None
    headers: dict[bytes, bytes] = {}
    lines = block.split(_END_OF_LINE)[:-1]
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.removeprefix(b" ")
    if len(headers) < len(lines):
        return None
    if b"host" not in headers or not _NOT_PLAIN.isdisjoint(headers):
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    announced = headers.get(b"content-length", b"0")
    return _Head((*headers.items(),), int(announced)) if _LENGTH.fullmatch(announced) else None


_kept_head = lru_cache(_KEPT_BLOCKS)(_head)


def _may_announce(method: bytes, target: bytes, length: int) -> bool:
    """Say whether a body may be so long."""
    return length <= LEAST_LIMIT or (length <= READ_AT_ONCE and length <= limit_of(method, target))
