"""HTTP/1.1 on plain asyncio transports: requests over kept connections, and event streams.

It costs some 15 us a request, so that a load generator on the same machine takes little from what it measures.
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
HEAD_END = b"\r\n\r\n"
OK = 200


def request(method: str, path: str, token: str = "", body: Any = None, more: str = "") -> bytes:
    """Return a request's bytes; the body becomes JSON, `more` is further header lines."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body is not None or method in {"POST", "PUT"}:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return f"{head}\r\n".encode() + data


class Caller(asyncio.Protocol):
    """A kept connection, for one request at a time."""

    _transport: asyncio.Transport
    _answer: asyncio.Future[tuple[int, bytes]]

    def __init__(self) -> None:
        self._read = b""
        # Where the answer ends, once its head is known.
        self._end = 0

    @classmethod
    async def connect(cls, port: int) -> "Caller":
        """Return a connection to a port of this machine."""
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(cls, "127.0.0.1", port)
        return caller

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def call(self, data: bytes) -> tuple[int, bytes]:
        """Send a request; return the answer's status and body.

        Raises:
            ConnectionError: the server closed the connection before.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer

    async def checked(self, data: bytes, *statuses: int) -> bytes:
        """Send a request; return the answer's body.

        Raises:
            RuntimeError: the status is none of `statuses`.
        """
        status, body = await self.call(data)
        if status not in statuses:
            raise RuntimeError(f"{data[:80]!r} was answered {status}: {body[:300]!r}")
        return body

    def data_received(self, data: bytes) -> None:
        self._read = self._read + data if self._read else data
        head = self._read.find(HEAD_END)
        if head < 0:
            return
        status = int(self._read[9:12])
        if length := _LENGTH.search(self._read, 0, head + 2):
            end = head + 4 + int(length[1])
        elif _CHUNKED.search(self._read, 0, head + 2):
            end = len(self._read) if self._read.endswith(b"0\r\n\r\n") else len(self._read) + 1
        else:
            end = head + 4
        if len(self._read) >= end:
            body, self._read = self._read[head + 4 : end], self._read[end:]
            if not self._answer.done():
                self._answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if not getattr(self, "_answer", None) or self._answer.done():
            return
        self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, or ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class Stream(asyncio.Protocol):
    """An event stream, which notes when each event of interest comes.

    Args:
        data: the request.
        opened_by: the bytes in it with which it counts as open.
        counted: the bytes that each event of interest contains once.
        told: called with the time at each of them.
    """

    transport: asyncio.Transport

    def __init__(
        self, data: bytes, opened_by: bytes, counted: bytes, told: Callable[[float, int], None]
    ) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = data
        self._opened_by = opened_by
        self._counted = counted
        self._told = told
        # Seen, but perhaps the beginning of what is looked for.
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self._open(data)
            return
        if self._rest:
            data = self._rest + data
        if found := data.count(self._counted):
            self._told(time.monotonic(), found)
            data = data[data.rindex(self._counted) + len(self._counted) :]
        self._rest = data[-len(self._counted) + 1 :]

    def _open(self, data: bytes) -> None:
        self._rest += data
        if self._opened_by in self._rest:
            self._rest = b""
            self.opened.set_result(None)
        elif self._rest.startswith(b"HTTP/1.1 ") and not self._rest.startswith(b"HTTP/1.1 200"):
            self.opened.set_exception(RuntimeError(f"a stream was answered {self._rest[:400]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("a stream ended before it was open"))


def call(port: int, data: bytes, within: float = 30.0) -> tuple[int, bytes]:
    """Send one request on a connection of its own, without an event loop; return status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=within) as connection:
        connection.sendall(data)
        read = b""
        while HEAD_END not in read:
            read += _some(connection)
        head, _, body = read.partition(HEAD_END)
        length = _LENGTH.search(head + b"\r\n")
        while length and len(body) < int(length[1]):
            body += _some(connection)
    return int(read[9:12]), body


def open_stream(port: int, data: bytes, opened_by: bytes, within: float = 30.0) -> socket.socket:
    """Open a stream without an event loop; return its socket once it is open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=within)
    connection.sendall(data)
    read = b""
    while opened_by not in read:
        read += _some(connection)
    return connection


def _some(connection: socket.socket) -> bytes:
    if not (data := connection.recv(65536)):
        raise ConnectionError("the server closed the connection")
    return data
