"""The floor: an asyncio server that holds streams, repeats what it is sent to all of them, and does nothing else.

It keeps nothing, checks nobody and knows no locks. When the connection of a holder closes, it tells the watchers.
"""

import asyncio
import contextlib

from benchmarks import wire
from benchmarks.apart import Apart, own_cpu_seconds
from benchmarks.load import Streams, Wanted
from benchmarks.processes import killed
from benchmarks.subject import Deaths, Feed, Subject
from benchmarks.wire import HEAD_END, request

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: heartbeat\ndata: {}\n\n"
EVENT = b"event: told\ndata: {}\n\n"
OPENED_BY, COUNTED = b"event: heartbeat\n", b"event: told\n"
TELLING_SECONDS = 30.0


class Server:
    """The server, in a process of its own."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Transport] = set()

    async def listen(self) -> int:
        """Listen; return the port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self._watchers), "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def cpu_seconds(self) -> float:
        """Return the processor time of this process."""
        return own_cpu_seconds()


class _Connection(asyncio.Protocol):
    def __init__(self, watchers: set[asyncio.Transport]) -> None:
        self._watchers = watchers
        self._read = b""
        self._holds = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._read.endswith(HEAD_END):
            return
        path, self._read = self._read.split(b" ", 2)[1], b""
        if path == b"/publish":
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            self._tell()
            return
        self._holds = path == b"/hold"
        if path == b"/watch":
            self._watchers.add(self._transport)
        self._transport.write(ANSWER)

    def connection_lost(self, exc: Exception | None) -> None:
        with contextlib.suppress(KeyError):
            self._watchers.remove(self._transport)
        if self._holds:
            self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher.write(EVENT)


class Floor(Subject):
    """The floor of streams."""

    name = "asyncio floor"

    def __init__(self) -> None:
        self._server = Apart(Server)
        self.port: int = self._server.call("listen")

    @property
    def pids(self) -> list[int]:
        return [self._server.pid]

    def wanted(self, path: str) -> Wanted:
        """Return a stream that holds or watches."""
        return Wanted(self.port, request("GET", path), OPENED_BY, COUNTED)

    def open_many(self, count: int) -> list[Wanted]:
        return [self.wanted("/hold")] * count

    def feed(self, watchers: int, events: int) -> Feed:
        publish = request("POST", "/publish")
        return Feed([self.wanted("/watch")] * watchers, self.port, [publish] * events)

    def deaths(self) -> Deaths:
        return _FloorDeaths(self)

    def close(self) -> None:
        self._server.close()


class _FloorDeaths(Deaths):
    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._watcher = Apart(Streams)
        self._watcher.call("open", [floor.wanted("/watch")])
        self._told = 0

    def die(self) -> float:
        wanted = self._floor.wanted("/hold")
        stream = wire.open_stream(wanted.port, wanted.request, wanted.opened_by)
        self._told += 1
        at = killed(stream)
        told: float = self._watcher.call("until", self._told, TELLING_SECONDS)
        return told - at

    def close(self) -> None:
        self._watcher.close()
