"""Two actors, one held before each of its statements in turn while the other runs: all interleavings of two.

As PostgreSQL's own isolation tests do it: the other one either ends, or waits for a lock of the held one; then the
held one goes on.
"""

import copy
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import QuerySet

from events_app.models import Connection, LogEntry, ServerProcess
from sessions_app import channels
from sessions_app.errors import DomainError
from sessions_app.models import EditSession, EndedSession, HandoffRequest, PlaceInLine
from tests.waiting import PATIENCE_SECONDS, eventually

Actor = Callable[[], Any]

# There are a thousand interleavings; each waits two or three times.
STEP_SECONDS = 0.002
# A world is as good as new for so long: no clock of the service is as short.
WORLD_SECONDS = 3.0


class Hold:
    """Holds its thread before the n-th statement, or before the commit, until it is let go."""

    def __init__(self, before: int) -> None:
        self.before = before
        self.statements = 0
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def wait(self) -> None:
        """Hold here if it is the place."""
        if self.statements == self.before:
            self.reached.set()
            assert self.let_go.wait(PATIENCE_SECONDS)
        self.statements += 1

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.wait()
        return execute(sql, params, many, context)


class TwoThreads:
    """The threads of two actors, each with a connection that it keeps."""

    def __init__(self) -> None:
        self._held, self._other = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._other_pid: int = self._other.submit(_connect).result()

    def __enter__(self) -> "TwoThreads":
        return self

    def __exit__(self, *_: object) -> None:
        for thread in (self._held, self._other):
            thread.submit(lambda: connection.close())
            thread.shutdown()

    def run(self, held: Actor, other: Actor, before: int) -> tuple[bool, Any, Any]:
        """See `run`."""
        hold = Hold(before)
        with ExitStack() as stack:
            stack.callback(hold.let_go.set)
            first: Future[Any] = self._held.submit(_act, held, hold)
            eventually(lambda: hold.reached.is_set() or first.done(), step=STEP_SECONDS)
            second: Future[Any] = self._other.submit(_act, other)
            eventually(
                lambda: second.done() or _waits_for_a_lock(self._other_pid), step=STEP_SECONDS
            )
            hold.let_go.set()
            return (
                hold.reached.is_set(),
                first.result(PATIENCE_SECONDS),
                second.result(PATIENCE_SECONDS),
            )


def run(held: Actor, other: Actor, before: int) -> tuple[bool, Any, Any]:
    """Hold the first actor before its n-th statement (from 0) while the other runs as far as it can.

    Returns:
        Whether the first one has an n-th statement, and what each returned, or the domain error it ended with.

    Raises:
        Exception: any other error of either, a deadlock for example.
    """
    with TwoThreads() as threads:
        return threads.run(held, other, before)


def at_every_statement(make_world: Callable[[], Any], first: str, second: str) -> None:
    """Hold one actor before each of its statements in turn while another one runs, always in the same world.

    Args:
        make_world: makes a world, of which the actors are methods; its `check` is called after each turn.
        first: who is held.
        second: who runs meanwhile.
    """
    worlds = _Worlds(make_world)
    before = 0
    more = True
    with TwoThreads() as threads:
        while more:
            world = worlds.next()
            more, *results = threads.run(getattr(world, first), getattr(world, second), before)
            world.check({first, second}, results)
            before += 1
    worlds.clear()
    assert before > 1, "it was never held"


def records_of(items: Collection[Any]) -> QuerySet[EndedSession]:
    """Return the records of sessions on items with these ids."""
    return EndedSession.objects.filter(item_id__in=items)


def check_each_end(items: Collection[Any]) -> None:
    """Check that every session on these items that ended has one record and one event, and no other one vanished."""
    events = LogEntry.objects.filter(
        channels__overlap=[channels.item(pk) for pk in items], type__startswith="edit.session_"
    )
    told = Counter(
        (kind, json.loads(data)["session_id"]) for kind, data in events.values_list("type", "data")
    )
    ended = Counter(str(pk) for pk in records_of(items).values_list("session_id", flat=True))
    sessions = EditSession.objects.filter(item__in=items)
    active = {str(pk) for pk in sessions.values_list("pk", flat=True)}
    acquired = {pk for kind, pk in told if kind == "edit.session_acquired"}
    released = {pk: n for (kind, pk), n in told.items() if kind == "edit.session_released"}
    assert set(ended.values()) <= {1}, "a session has more than one record"
    assert released == ended, "an end without its event, or told twice"
    assert acquired == active | ended.keys(), "a session vanished without a record"
    assert not active & ended.keys(), "an ended session is still active"


class _Worlds:
    """Equal worlds, one after the other: the rows of the first are kept, as it takes fifty statements to make it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._world: Any = None
        self._made = float("-inf")
        models = [
            model
            for label in ("events_app", "sessions_app")
            for model in apps.get_app_config(label).get_models(include_auto_created=True)
        ]
        self._tables = {
            f"pg_temp.kept_{number}": connection.ops.quote_name(model._meta.db_table)
            for number, model in enumerate(models)
        }

    def next(self) -> Any:
        """Return a world in which nothing has happened yet; of the one before nothing is left."""
        if time.monotonic() - self._made > WORLD_SECONDS:
            self.clear()
            self._world = self._make()
            self._made = time.monotonic()
            self._run("CREATE TABLE {kept} AS TABLE {table}")
        else:
            # No trigger is asked: neither those of the foreign keys nor the one that keeps the record as it is.
            replica = "SET LOCAL session_replication_role = replica"
            self._run(
                "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {kept}", before=replica
            )
        return copy.deepcopy(self._world)

    def clear(self) -> None:
        """Delete what the next world would meet."""
        for model in (PlaceInLine, HandoffRequest, EditSession, Connection, ServerProcess):
            model.objects.all().delete()
        self._run("DROP TABLE IF EXISTS {kept}")

    def _run(self, statement: str, before: str = "") -> None:
        """Run a statement for every table, all at once."""
        statements = [
            statement.format(kept=kept, table=table) for kept, table in self._tables.items()
        ]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("; ".join(filter(None, [before, *statements])))


def _connect() -> int:
    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


def _act(actor: Actor, hold: Hold | None = None) -> Any:
    try:
        if hold is None:
            return actor()
        with transaction.atomic(), connection.execute_wrapper(hold):
            result = actor()
            # Everything is done and nothing committed.
            hold.wait()
            return result
    except DomainError as refusal:
        return refusal


def _waits_for_a_lock(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
        return bool(cursor.fetchone()[0])
