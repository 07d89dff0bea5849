"""ZooKeeper: an ephemeral node, by its own protocol."""

import socket
import struct
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.load import Client, Operation
from benchmarks.peers.lines import Exchange
from benchmarks.peers.programs import Program

JAR = "/usr/share/java/zookeeper.jar"
MAIN = "org.apache.zookeeper.server.ZooKeeperServerMain"
TIMEOUT_MS = 60_000
CREATE, DELETE = 1, 2
EPHEMERAL = 1
ALL_RIGHTS, ANY_VERSION = 31, -1


class ZooKeeper(Program):
    """A ZooKeeper of its own."""

    name = "ZooKeeper"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "java", JAR)

    def command(self) -> list[str]:
        lines = {
            "dataDir": self.folder,
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
        }
        file = self.folder / "zoo.cfg"
        file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        return ["java", "-cp", JAR, MAIN, str(file)]

    def is_ready(self) -> bool:
        # It listens before it serves.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(HELLO)
            return bool(connection.recv(1))
        return False

    def pairs(self, clients: int) -> Client:
        return partial(pair_client, self.port)


async def pair_client(port: int, number: int) -> Operation:
    """Return an operation that creates an ephemeral node and deletes it."""
    keeper = await Exchange.connect(port, _is_whole)
    await keeper.ask(HELLO)
    path = _text(f"/item-{number}")
    world = struct.pack(">ii", 1, ALL_RIGHTS) + _text("world") + _text("anyone")
    create = path + _text("me") + world + struct.pack(">i", EPHEMERAL)
    delete = path + struct.pack(">i", ANY_VERSION)

    async def pair() -> int:
        _check(await keeper.ask(_framed(struct.pack(">ii", 1, CREATE) + create)))
        _check(await keeper.ask(_framed(struct.pack(">ii", 2, DELETE) + delete)))
        return 1

    return pair


def _check(answer: bytes) -> None:
    """Check the error of an answer, behind its length, number and transaction."""
    (error,) = struct.unpack_from(">i", answer, 16)
    if error:
        raise RuntimeError(f"ZooKeeper answered error {error}")


def _is_whole(read: bytes) -> bool:
    return len(read) >= 4 and len(read) >= 4 + struct.unpack_from(">i", read)[0]


def _framed(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _text(text: str) -> bytes:
    return _framed(text.encode())


HELLO = _framed(struct.pack(">iqiq", 0, 0, TIMEOUT_MS, 0) + _text("\0" * 16))
