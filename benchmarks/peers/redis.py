"""Redis: a key with a time to live, each write synced to the disk before its answer."""

from functools import partial
from pathlib import Path

from benchmarks.load import Client, Operation
from benchmarks.peers.lines import Exchange, expect
from benchmarks.peers.programs import Program


class Redis(Program):
    """A Redis of its own."""

    name = "Redis"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "redis-server")

    def command(self) -> list[str]:
        options = {
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "dir": str(self.folder),
        }
        given = [text for name, value in options.items() for text in (f"--{name}", value)]
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), *given]

    def pairs(self, clients: int) -> Client:
        return partial(pair_client, self.port)

    def alive(self) -> Client:
        return partial(alive_client, self.port)


async def pair_client(port: int, number: int) -> Operation:
    """Return an operation that sets a key that is not there, and deletes it."""
    redis = await _connect(port)

    async def pair() -> int:
        expect(await redis.ask(b"SET item-%d me NX PX 60000\r\n" % number), b"+OK")
        expect(await redis.ask(b"DEL item-%d\r\n" % number), b":1")
        return 1

    return pair


async def alive_client(port: int, number: int) -> Operation:
    """Return an operation that prolongs a key's life."""
    redis = await _connect(port)
    expect(await redis.ask(b"SET alive-%d me\r\n" % number), b"+OK")

    async def alive() -> int:
        expect(await redis.ask(b"PEXPIRE alive-%d 60000\r\n" % number), b":1")
        return 1

    return alive


async def _connect(port: int) -> Exchange:
    return await Exchange.connect(port, lambda read: read.endswith(b"\r\n"))
