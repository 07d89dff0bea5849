"""A server at one address on a PostgreSQL of its own, with accounts: for the tests of browsers and of FreeCAD."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from tests.faults.own_postgres import OwnPostgres
from tests.faults.services import ServeAt
from tests.ports import reserved
from tests.processes.service import Client

# A server that ends one of these at the same moment gives way in a deadlock, and tries again: this one waits longer.
END_ALL = """
    BEGIN;
    SET LOCAL deadlock_timeout = '30s';
    DELETE FROM sessions_app_handoffrequest;
    DELETE FROM sessions_app_placeinline;
    DELETE FROM sessions_app_editsession;
    COMMIT
"""


class World:
    """The server, its database, and the users.

    Args:
        database: the server's.
        stack: ends the servers.
        settings: of each server.
    """

    def __init__(self, database: OwnPostgres, stack: ExitStack, settings: dict[str, str]) -> None:
        self.database = database
        self._stack, self._settings = stack, {"DATABASE_URL": database.url, **settings}
        self._tokens: dict[str, str] = {}
        self.port = reserved()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = self.serve(self.port)

    def serve(self, port: int = 0, **more: str) -> ServeAt:
        """Start one more server on the same database."""
        server = ServeAt("127.0.0.1", port, **self._settings, **more)
        self._stack.callback(server.close)
        server.ready()
        return server

    def start_again(self) -> None:
        """Start the server that was stopped, at its address."""
        self.server.close()
        self.server = self.serve(self.port)

    def token(self, name: str) -> str:
        """Return a token of a user: of an editor, or of the admin `root`."""
        if name not in self._tokens:
            role = "admin" if name == "root" else "editor"
            self._tokens[name] = self.database.manage("createtoken", name, "--role", role)
        return self._tokens[name]

    def client(self, name: str, server: ServeAt | None = None) -> Client:
        """Return a user's client, of the server at the address or of another one."""
        return Client(server or self.server, self.token(name))

    def streams(self) -> int:
        """Return how many streams of workstations are open."""
        [(count,)] = self.database.query("SELECT count(*) FROM events_app_connection")
        return int(count)

    def end_all(self) -> None:
        """Nobody holds anything, or waits."""
        self.database.query(END_ALL)


Some = TypeVar("Some", bound=World)


@contextmanager
def started(kind: type[Some], accounts: str, **settings: str) -> Iterator[Some]:
    """Start it; what was started ends with the block, also where something cannot be started.

    Args:
        kind: what it is made of.
        accounts: what `manage.py shell` executes before, to make them.
        settings: of each server.
    """
    with OwnPostgres() as database, ExitStack() as stack:
        database.manage("shell", "-v", "0", "-c", accounts)
        yield kind(database, stack, settings)
