"""An SSE client on a thread, which may lose its connection and go on with `Last-Event-ID`."""

import contextlib
import http.client
import socket
import struct
import threading
from typing import Any
from urllib.parse import urlsplit

from tests.slow.comparison import Entry
from tests.sse import COMMENT, Event, events
from tests.waiting import eventually

# A close that sends RST instead of FIN: what the kernel does for a process that dies with unread data.
ABRUPT = struct.pack("ii", 1, 0)
OWN = ("stream-open", "heartbeat")


class Listener:
    """One client's streams, one after the other.

    Args:
        path: of the stream.
        token: the bearer token.
        channels: what it gets.
    """

    def __init__(self, path: str, token: str, channels: set[str]) -> None:
        self.channels = channels
        self.received: list[tuple[str, str, Any]] = []
        self.opened: Any = None
        self.last_id = ""
        self._path = path
        self._token = token
        self._expected: list[tuple[str, Any]] = []
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def open(self, url: str, last_id: str = "") -> Any:
        """Open a stream; return the data of its `stream-open`."""
        self.opened = None
        address = urlsplit(url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        headers = {"Authorization": f"Bearer {self._token}"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        connection.request("GET", self._path, headers=headers)
        self._socket = connection.sock
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        self._thread = threading.Thread(target=self._read, args=(answer,), daemon=True)
        self._thread.start()
        return eventually(lambda: self.opened, "stream-open")

    def close(self, *, abruptly: bool = False) -> None:
        """Leave."""
        if self._socket is None or self._thread is None:
            return
        if abruptly:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
        with contextlib.suppress(OSError):  # the server was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        self._socket = None

    def expect(self, entries: list[Entry]) -> None:
        """What of these is for it, it has to get."""
        self._expected += [(e.type, e.data) for e in entries if e.channels & self.channels]

    def check(self) -> None:
        """It gets what it has to, in order, and nothing else."""
        wanted = self._expected
        eventually(lambda: len(self.received) >= len(wanted), f"{self._path}: {wanted[-3:]}")
        got = [(kind, data) for kind, _, data in self.received]
        assert got == wanted, f"{self._path} got {got[-3:]} instead of {wanted[-3:]}"

    def _read(self, answer: http.client.HTTPResponse) -> None:
        try:
            for event in events(answer):
                if event != COMMENT:
                    self._take(event)
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass  # closed, by whomever
        answer.close()

    def _take(self, event: Event) -> None:
        if event.name not in OWN:
            assert event.id
            self.received.append((event.name, event.id, event.data))
        self.last_id = event.id or self.last_id
        if event.name == "stream-open":
            self.opened = event.data
