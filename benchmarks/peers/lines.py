"""Kept connections of protocols that are not HTTP: send something, wait for one whole answer."""

import asyncio
from collections.abc import Callable


class Exchange(asyncio.Protocol):
    """A kept connection, for one question at a time.

    Args:
        is_whole: whether these bytes are a whole answer.
    """

    _transport: asyncio.Transport
    _answer: asyncio.Future[bytes]

    def __init__(self, is_whole: Callable[[bytes], bool]) -> None:
        self._is_whole = is_whole
        self._read = b""

    @classmethod
    async def connect(cls, port: int, is_whole: Callable[[bytes], bool]) -> "Exchange":
        """Return a connection to a port of this machine."""
        loop = asyncio.get_running_loop()
        _, exchange = await loop.create_connection(lambda: cls(is_whole), "127.0.0.1", port)
        return exchange

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, question: bytes) -> bytes:
        """Send a question; return its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._is_whole(self._read):
            read, self._read = self._read, b""
            self._answer.set_result(read)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))


def expect(answer: bytes, wanted: bytes) -> None:
    """Check an answer.

    Raises:
        RuntimeError: it does not begin so.
    """
    if not answer.startswith(wanted):
        raise RuntimeError(f"{answer[:200]!r} instead of {wanted!r}")
