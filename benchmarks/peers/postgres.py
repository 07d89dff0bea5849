"""PostgreSQL alone, by a raw table or an advisory lock: the same embedded server, with fsync, without the service."""

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.apart import Apart
from benchmarks.load import Client, Operation
from benchmarks.processes import killed
from benchmarks.subject import Deaths, Subject
from django_embedded_postgres import EmbeddedPostgres

TABLE = "CREATE TABLE held (item text PRIMARY KEY, holder text NOT NULL)"
TAKE = "INSERT INTO held VALUES (%s, 'me') ON CONFLICT DO NOTHING"
GIVE_BACK = "DELETE FROM held WHERE item = %s AND holder = 'me'"
SETS = """
    CREATE TABLE session (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), item uuid NOT NULL, level text NOT NULL,
        object text NOT NULL, workstation uuid NOT NULL, token bigint UNIQUE NOT NULL,
        acquired timestamptz NOT NULL DEFAULT now(), last_heartbeat timestamptz NOT NULL, UNIQUE (item, level, object))
        WITH (fillfactor = 70);
    CREATE TABLE record (LIKE session, ended timestamptz NOT NULL);
    CREATE INDEX ON record (item, ended);
    CREATE TABLE event (id bigserial PRIMARY KEY, channels text[] NOT NULL, data text NOT NULL);
"""
FILL = """
    INSERT INTO session (item, level, object, workstation, token, last_heartbeat)
    SELECT gen_random_uuid(), 'sketch', '', gen_random_uuid(), number,
        now() - CASE WHEN number <= %s THEN interval '1 hour' ELSE interval '0' END
    FROM generate_series(1, %s) number
"""
END_SET = """
    WITH gone AS (DELETE FROM session WHERE last_heartbeat < now() - interval '15 minutes' RETURNING *),
    kept AS (INSERT INTO record SELECT *, now() FROM gone)
    INSERT INTO event (channels, data)
    SELECT ARRAY['item:' || item, 'workstation:' || workstation],
        json_build_object('session', id, 'item', item, 'level', level, 'token', token)::text
    FROM gone
"""
TAKE_SET = "INSERT INTO held SELECT unnest(%s::text[]), 'me' ON CONFLICT DO NOTHING"
GIVE_SET_BACK = "DELETE FROM held WHERE item = ANY(%s) AND holder = 'me'"
LOCK, UNLOCK = "SELECT pg_try_advisory_lock(%s)", "SELECT pg_advisory_unlock(%s)"
WRITTEN = """
    SELECT pg_current_wal_insert_lsn() - '0/0', n_tup_upd, n_tup_hot_upd
    FROM pg_stat_user_tables WHERE relname = %s
"""
BEATS = 3
THE_LOCK = 1_000_000


class Postgres(Subject):
    """A PostgreSQL of its own, started."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o711)
        self._server = EmbeddedPostgres(folder)
        where = self._server.ensure_running("bench")
        self.where: dict[str, Any] = {
            "host": where.host,
            "port": where.port,
            "user": where.user,
            "dbname": "bench",
        }
        self.database = psycopg.connect(**self.where, autocommit=True)
        file = folder / "postgres/data/postmaster.pid"
        self._pid = int(file.read_text().split("\n", 1)[0])

    @property
    def pids(self) -> list[int]:
        return [self._pid]

    def close(self) -> None:
        self.database.close()
        self._server.release()


class RawTable(Postgres):
    """A table of locks, each statement a transaction: neither rules nor record nor events."""

    name = "raw table"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database.execute(TABLE)
        self.database.execute(SETS.encode())

    def pairs(self, clients: int) -> Client:
        return partial(statements_client, self.where, TAKE, GIVE_BACK, "item-")

    def end_set(self, count: int, of: int = 0) -> float:
        """End so many sessions with a record and an event each, in one statement; return the seconds it took.

        Args:
            count: how many.
            of: how many there are at least.
        """
        self.database.execute("TRUNCATE session, record, event")
        self.database.execute(FILL, [count, max(count, of)])
        self.database.execute("VACUUM ANALYZE session")
        begun = time.monotonic()
        self.database.execute(END_SET)
        return time.monotonic() - begun

    def beat(self, count: int) -> tuple[float, float]:
        """Update so many rows a few times, each time by one bare UPDATE.

        Returns:
            The bytes of WAL of a row, and the share of heap-only updates in percent.
        """
        self.database.execute("TRUNCATE session, record, event")
        self.database.execute(FILL, [0, count])
        for _ in range(BEATS):
            self._beat_some()
            self.database.execute("VACUUM session")
        return wal_and_hot(self.database, "session", self._beat_some)

    def _beat_some(self) -> None:
        for _ in range(BEATS):
            self.database.execute("UPDATE session SET last_heartbeat = now()")


class AdvisoryLock(Postgres):
    """Advisory locks of sessions, which end with their connection. Nothing of them is on disk."""

    name = "advisory lock"

    def pairs(self, clients: int) -> Client:
        return partial(statements_client, self.where, LOCK, UNLOCK, "")

    def deaths(self) -> Deaths:
        return _LockDeaths(self.where)


def wal_and_hot(
    database: "psycopg.Connection[Any]", table: str, beats: Callable[[], None]
) -> tuple[float, float]:
    """Return the bytes of WAL for each row of a table that a function updates, and the heap-only share in percent.

    All WAL meanwhile counts. Both are 0 where no row was updated.
    """
    before = _written(database, table)
    beats()
    wal, updated, hot = (
        after - then for after, then in zip(_written(database, table), before, strict=True)
    )
    return (wal / updated, hot / updated * 100) if updated else (0.0, 0.0)


def _written(database: "psycopg.Connection[Any]", table: str) -> tuple[float, float, float]:
    database.execute("SELECT pg_stat_force_next_flush()")
    row = database.execute(WRITTEN, [table]).fetchone()
    assert row
    return tuple(map(float, row))  # type: ignore[return-value]


async def set_client(where: dict[str, Any], size: int, number: int) -> Operation:
    """Return an operation that takes and gives back so many rows, each by one statement."""
    connection = await psycopg.AsyncConnection.connect(**where, autocommit=True)
    connection.prepare_threshold = 0
    cursor = connection.cursor()
    items = [f"set-{number}-{item}" for item in range(size)]

    async def take() -> int:
        await cursor.execute(TAKE_SET, [items])
        await cursor.execute(GIVE_SET_BACK, [items])
        return size

    return take


async def statements_client(
    where: dict[str, Any], take: str, give_back: str, prefix: str, number: int
) -> Operation:
    """Return an operation that takes something by a prepared statement and gives it back by another."""
    connection = await psycopg.AsyncConnection.connect(**where, autocommit=True)
    connection.prepare_threshold = 0
    cursor = connection.cursor()
    parameters = [f"{prefix}{number}" if prefix else number]

    async def pair() -> int:
        await cursor.execute(take, parameters)
        await cursor.execute(give_back, parameters)
        return 1

    return pair


class Waiter:
    """Waits for a lock, in a process of its own."""

    def __init__(self, where: dict[str, Any]) -> None:
        self._where = where

    async def connect(self) -> int:
        """Connect; return the backend's process id."""
        self._connection = await psycopg.AsyncConnection.connect(**self._where, autocommit=True)
        return self._connection.info.backend_pid

    async def wait(self) -> float:
        """Wait for the lock, give it back, and return when it was there."""
        await self._connection.execute("SELECT pg_advisory_lock(%s)", [THE_LOCK])
        at = time.monotonic()
        await self._connection.execute(UNLOCK, [THE_LOCK])
        return at


class _LockDeaths(Deaths):
    def __init__(self, where: dict[str, Any]) -> None:
        self._where = where
        self._waiter = Apart(Waiter, where)
        self._backend: int = self._waiter.call("connect")

    def die(self) -> float:
        with psycopg.connect(**self._where, autocommit=True) as looking:
            holder = psycopg.connect(**self._where, autocommit=True)
            holder.execute("SELECT pg_advisory_lock(%s)", [THE_LOCK])
            self._waiter.begin("wait")
            waits = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
            while looking.execute(waits, [self._backend]).fetchone() != (1,):
                pass
        at = killed(_taken_from(holder))
        told: float = self._waiter.result()
        return told - at

    def close(self) -> None:
        self._waiter.close()


def _taken_from(holder: "psycopg.Connection[Any]") -> socket.socket:
    """Return the connection's socket, of which the connection itself keeps nothing."""
    descriptor = holder.pgconn.socket
    taken = socket.socket(fileno=os.dup(descriptor))
    with Path(os.devnull).open("r+b") as nothing:
        os.dup2(nothing.fileno(), descriptor)
    holder.close()
    return taken
