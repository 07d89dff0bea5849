"""An HTTP client that says what it is told to, and dies as a killed process does."""

import http.client
import json
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.sse import Parser

# For an answer.
PATIENCE_SECONDS = 5


class Connection(http.client.HTTPConnection):
    """A connection to a URL under a name."""

    def __init__(self, url: str, name: str, certificate: str) -> None:
        parts = urlsplit(url)
        super().__init__(str(parts.hostname), parts.port, timeout=PATIENCE_SECONDS)
        self.scheme, self.name, self.certificate = parts.scheme, name, certificate
        self.responses: list[http.client.HTTPResponse] = []

    def getresponse(self) -> http.client.HTTPResponse:
        self.responses.append(super().getresponse())
        return self.responses[-1]

    def close(self) -> None:
        """Close the socket without a word, as the kernel does for a process that is killed."""
        for response in self.responses:
            response.close()
        super().close()

    def connect(self) -> None:
        super().connect()
        if self.scheme == "https":
            context = ssl.create_default_context(cafile=self.certificate)
            self.sock = context.wrap_socket(self.sock, server_hostname=self.name)


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        assert self.headers.get_content_type() == "application/json", (self.status, self.body[:300])
        return json.loads(self.body)


class Stream:
    """An open event stream, read as it is asked for."""

    def __init__(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        self.connection, self.response = connection, response
        self.last_event_id = ""
        self._parser = Parser()

    def line(self, within: float) -> str:
        """The next line that comes within so many seconds."""
        self.socket.settimeout(max(within, 0.001))
        line = self.response.readline()
        assert line, "the stream has ended"
        return line.decode().rstrip("\n")

    @property
    def socket(self) -> socket.socket:
        return self.response.fp.raw._sock  # type: ignore[union-attr,attr-defined]

    def event(self, name: str, within: float = 5, **data: Any) -> dict[str, Any]:
        """The next event of this name with these members of its data."""
        deadline = time.monotonic() + within
        while True:
            event = self.next(deadline)
            if event["event"] == name and data.items() <= event["data"].items():
                return event

    def next(self, deadline: float) -> dict[str, Any]:
        """The next event, `comment` for a comment line."""
        while not (event := self._parser.take(self.line(deadline - time.monotonic()))):
            pass
        self.last_event_id = event.id or self.last_event_id
        return {"event": event.name, "id": event.id, "data": event.data}

    def kill(self) -> None:
        """As a process that is killed."""
        self.connection.close()


class Caller:
    """One user's calls to one URL; paths are those behind its own."""

    def __init__(self, url: str, name: str, certificate: str, token: str) -> None:
        self.base = urlsplit(url).path
        self.url, self.name, self.certificate, self.token = url, name, certificate, token
        self.opened: list[Connection] = []

    def close(self) -> None:
        """Close what is open."""
        for connection in self.opened:
            connection.close()

    def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[Connection, http.client.HTTPResponse]:
        """Send a request; return what its answer is read from."""
        connection = Connection(self.url, self.name, self.certificate)
        self.opened.append(connection)
        given = {"Host": self.name, "Authorization": f"Bearer {self.token}"}
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        given = {key: value for key, value in given.items() if value}
        # The answer may come before all is sent.
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            connection.request(method, self.base + path, body, given)
        return connection, connection.getresponse()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call the API; the body is bytes, or goes as JSON."""
        if body is not None and not isinstance(body, bytes):
            body, headers = (
                json.dumps(body).encode(),
                {"Content_Type": "application/json"} | headers,
            )
        connection, response = self.send(method, path, body, **headers)
        try:
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def stream(self, last_event_id: str = "", **query: str) -> Stream:
        """Open an event stream, as a browser asks for it."""
        headers = {"Accept": "text/event-stream", "Accept_Encoding": "gzip, deflate, br"}
        path = f"/api/events?{urlencode(query)}"
        connection, response = self.send("GET", path, Last_Event_ID=last_event_id, **headers)
        assert response.status == 200, (response.status, response.read())
        assert response.headers.get_content_type() == "text/event-stream"
        assert response.headers["Content-Encoding"] is None
        return Stream(connection, response)

    def workstation(self, name: str) -> str:
        """Register a workstation; return its id."""
        body = {"name": name, "fingerprint": name}
        return str(self.call("POST", "/api/workstations", body).json()["id"])

    def acquire(self, part_number: str, workstation: str, object_id: str = "") -> Answer:
        path = f"/api/items/{quote(part_number, safe='')}/edit-sessions"
        wanted = {"context_level": "sketch", "object_id": object_id}
        return self.call("POST", path, {"workstation_id": workstation} | wanted)
