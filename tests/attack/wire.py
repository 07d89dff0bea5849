"""Plain HTTP over asyncio sockets: little work for the attacker, so that the server has the machine."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

# How long an attacker waits for an answer.
ANSWER_SECONDS = 60.0
# An attacker that was refused does not come back at once: the refusals would be all that is measured.
PAUSE_SECONDS = 0.05
# What is sent of a large body before the attacker looks whether it has been refused.
CHUNK = 64 * 1024
# The longest line of a head, or of a stream of events.
LINE = 1024 * 1024

T = TypeVar("T")

# What an attacker meets besides answers.
BROKEN = (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError)

# The connections that are open.
_CONNECTED: set[Wire] = set()


@dataclass
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection to a server."""

    def __init__(self, url: str, token: str = "") -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), int(address.port or 80)
        self._token = token
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> asyncio.StreamWriter:
        """Connect where it is not connected."""
        if self.writer is None or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection(
                self._host, self._port, limit=LINE
            )
            _CONNECTED.add(self)
        return self.writer

    def close(self) -> None:
        """Let the connection go; what is not sent yet is dropped."""
        if self.writer is not None:
            if self.writer.transport.get_write_buffer_size():
                self.writer.transport.abort()
            self.writer.close()
            self.writer = None
        _CONNECTED.discard(self)

    def head(self, method: str, target: str, length: int, *more: str) -> bytes:
        """Return the head of a request."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *more]
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        if length or method not in ("GET", "HEAD"):
            lines.append(f"Content-Length: {length}")
            if not any(line.startswith("Content-Type") for line in more):
                lines.append("Content-Type: application/json")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def ask(self, method: str, target: str, body: bytes = b"", *more: str) -> Answer:
        """Send a request and return its answer; the connection stays open where the server leaves it.

        Raises:
            BROKEN: there was none.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            writer = await self.open()
            try:
                writer.write(self.head(method, target, len(body), *more))
                sending = asyncio.create_task(self._send(writer, body))
                try:
                    answer = await self._answer()
                finally:
                    sending.cancel()
                    with suppress(asyncio.CancelledError, OSError):
                        await sending
            except BaseException:
                self.close()
                raise
            if answer.headers.get("connection", "").lower() == "close" or len(body) > CHUNK:
                self.close()
            return answer

    async def _send(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        for begin in range(0, len(body), CHUNK):
            writer.write(body[begin : begin + CHUNK])
            await writer.drain()

    async def _answer(self) -> Answer:
        status, headers = await self.answer_head()
        while status // 100 == 1:
            status, headers = await self.answer_head()
        if status in (204, 304):
            return Answer(status, headers, b"")
        if "content-length" in headers:
            return Answer(
                status, headers, await self.reader.readexactly(int(headers["content-length"]))
            )
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, await self._chunks())
        body = await self.reader.read()
        self.close()
        return Answer(status, headers, body)

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self.reader.readline(), 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(parts)

    async def answer_head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer; return status and headers, their names in small letters."""
        line = await self.reader.readline()
        if not line.startswith(b"HTTP/1.1 "):
            raise ConnectionResetError(f"no answer: {line[:80]!r}")
        headers = {}
        while (field := (await self.reader.readline()).strip()) or not line:
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(line.split()[1]), headers


class EventStream(Wire):
    """A stream of events of an attacker."""

    async def begin(self, target: str, *more: str) -> int:
        """Ask for it; return the status."""
        async with asyncio.timeout(ANSWER_SECONDS):
            writer = await self.open()
            writer.write(self.head("GET", target, 0, *more))
            status, _ = await self.answer_head()
            return status

    async def next(self) -> tuple[str, str, bytes]:
        """Return name, id and data of the next event."""
        name, number, data = "message", "", []
        while True:
            line = await self.reader.readline()
            if not line:
                raise ConnectionResetError("the stream has ended")
            field, _, value = line.rstrip(b"\r\n").partition(b": ")
            if field == b"event":
                name = value.decode()
            elif field == b"id":
                number = value.decode()
            elif field == b"data":
                data.append(value)
            elif line in (b"\n", b"\r\n") and data:
                return name, number, b"\n".join(data)

    async def until(self, wanted: str) -> tuple[str, bytes]:
        """Return id and data of the next event of this name."""
        while True:
            name, number, data = await self.next()
            if name == wanted:
                return number, data


class Tally(Counter[str]):
    """How many answers of which status an attack got, and what else happened to it."""

    async def note(self, asking: Awaitable[Answer]) -> Answer | None:
        """Wait for an answer and count it; return it, or None where there was none."""
        try:
            answer = await asking
        except TimeoutError:
            self["no answer"] += 1
        except BROKEN:
            self["cut off"] += 1
        else:
            self[str(answer.status)] += 1
            return answer
        return None

    @property
    def answers(self) -> int:
        """How many answers there were, of whichever status."""
        return sum(count for status, count in self.items() if status.isdigit())

    def __str__(self) -> str:
        return ", ".join(f"{status}: {count}" for status, count in sorted(self.items()))


async def at_once(count: int, seconds: float, attack: Callable[[int], Awaitable[Any]]) -> None:
    """Do something again and again, so many at once, for so long; what is on its way then is left alone."""
    until = time.monotonic() + seconds

    async def again(number: int) -> None:
        while time.monotonic() < until:
            await attack(number)
            await asyncio.sleep(PAUSE_SECONDS)

    tasks = [asyncio.create_task(again(number)) for number in range(count)]
    done, going = await asyncio.wait(tasks, timeout=seconds + 0.5)
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)
    for task in done:
        task.result()


def perform(attack: Coroutine[Any, Any, T]) -> T:
    """Run an attack, and cut off every connection that it has left."""

    async def whole() -> T:
        try:
            return await attack
        finally:
            for wire in list(_CONNECTED):
                wire.close()
            # Until the loop has closed their sockets.
            await asyncio.sleep(0.1)

    return asyncio.run(whole())
