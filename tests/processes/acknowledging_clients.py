"""Very many clients with `ack=true` in one process, on plain sockets: `acknowledging_clients.py URL FILE SECONDS`.

Each line of the file is `TOKEN WORKSTATION_ID`: such a client opens a stream and answers each of its heartbeats on a
connection of its own, as `silo_client` does: who has no answer after four seconds closes that connection and asks
again, at most three times in all. It says on stdout `open` once all have their first heartbeat, after so many seconds
more what it saw, as one line of JSON, and goes on until it is killed. Used by tests and by attacks on the service.
"""

import asyncio
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

OPENING_AT_ONCE = 100
GIVE_UP_SECONDS = 4.0
TRIES = 3
PAUSE_SECONDS = 0.5


@dataclass
class Seen:
    """What the clients saw.

    Args:
        lost: streams that ended, or were refused.
        heartbeats: how many there were.
        answered: acknowledgements that were answered 204.
        gave_up: acknowledgements that were not answered in time.
        refused: the status of each other answer, counted.
        longest: seconds from an acknowledgement to its answer.
        most: the most acknowledgements that were answered in one second.
    """

    lost: int = 0
    heartbeats: int = 0
    answered: int = 0
    gave_up: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    longest: float = 0.0
    most: int = 0


class Crowd:
    """All the clients."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self.host, self.port = str(address.hostname), int(address.port or 80)
        self.seen = Seen()
        self.gate = asyncio.Semaphore(OPENING_AT_ONCE)
        self.tasks: set[asyncio.Task[None]] = set()
        self.by_second: dict[int, int] = {}

    def start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def note_answer(self, seconds: float) -> None:
        self.seen.answered += 1
        self.seen.longest = max(self.seen.longest, seconds)
        now = int(time.monotonic())
        self.by_second[now] = self.by_second.get(now, 0) + 1


class Client:
    def __init__(self, crowd: Crowd, token: str, workstation_id: str) -> None:
        self._crowd = crowd
        self._token = token
        self._workstation_id = workstation_id
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._body = b""
        self.has_heartbeat = asyncio.Event()

    async def open(self) -> None:
        """Open the stream, and return when its first heartbeat is here."""
        async with self._crowd.gate:
            reader, self._stream = await asyncio.open_connection(self._crowd.host, self._crowd.port)
            path = f"/api/events?workstation_id={self._workstation_id}&ack=true"
            self._stream.write(self._head("GET", path) + b"\r\n")
            self._crowd.start(self._read(reader))
            await self.has_heartbeat.wait()

    def _head(self, method: str, path: str) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n"
        ).encode()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        crowd = self._crowd
        try:
            while line := await reader.readline():
                if line == b"event: heartbeat\n":
                    crowd.seen.heartbeats += 1
                    self.has_heartbeat.set()
                    crowd.start(self._acknowledge())
                elif line.startswith(b'data: {"connection_id"'):
                    connection_id = line.split(b'"')[3]
                    self._body = b'{"connection_id":"%s","idle_seconds":0}' % connection_id
        except ConnectionError:
            pass
        crowd.seen.lost += 1
        self.has_heartbeat.set()

    async def _acknowledge(self) -> None:
        async with self._one_at_a_time:
            for attempt in range(TRIES):
                if attempt:
                    await asyncio.sleep(PAUSE_SECONDS)
                begun = time.monotonic()
                try:
                    async with asyncio.timeout(GIVE_UP_SECONDS):
                        status = await self._ask()
                except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
                    self._crowd.seen.gave_up += 1
                    self._hang_up()
                    continue
                if status == 204:
                    return self._crowd.note_answer(time.monotonic() - begun)
                refused = self._crowd.seen.refused
                refused[str(status)] = refused.get(str(status), 0) + 1
                return None

    async def _ask(self) -> int:
        if self._connection is None:
            self._connection = await asyncio.open_connection(self._crowd.host, self._crowd.port)
        reader, writer = self._connection
        path = f"/api/workstations/{self._workstation_id}/alive"
        length = b"Content-Length: %d\r\n\r\n" % len(self._body)
        writer.write(self._head("POST", path) + length + self._body)
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        return int(head.split()[1])

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def main(url: str, file: str, seconds: float) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(url)
    lines = Path(file).read_text().splitlines()  # noqa: ASYNC240  (nothing else runs yet)
    clients = [Client(crowd, *line.split()) for line in lines]
    begun = time.monotonic()
    await asyncio.gather(*(client.open() for client in clients))
    print(f"open {time.monotonic() - begun:.1f}", flush=True)
    await asyncio.sleep(seconds)
    crowd.seen.most = max(crowd.by_second.values(), default=0)
    print(json.dumps(asdict(crowd.seen)), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
