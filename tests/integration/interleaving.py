"""Two actors, one held before each of its statements in turn while the other runs: all interleavings of two.

As PostgreSQL's own isolation tests do it: the other one either ends, or waits for a lock of the held one; then the
held one goes on.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from django.db import connection, transaction

from sessions_app.errors import DomainError
from tests.waiting import PATIENCE_SECONDS, eventually

Actor = Callable[[], Any]

# There are a thousand interleavings; each waits two or three times.
STEP_SECONDS = 0.002


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


def run(held: Actor, other: Actor, before: int) -> tuple[bool, Any, Any]:
    """Hold the first actor before its n-th statement (from 0) while the other runs as far as it can.

    Returns:
        Whether the first one has an n-th statement, and what each returned, or the domain error it ended with.

    Raises:
        Exception: any other error of either, a deadlock for example.
    """
    hold = Hold(before)
    with ThreadPoolExecutor(2) as threads, ExitStack() as stack:
        stack.callback(hold.let_go.set)
        first = threads.submit(_act, held, hold)
        eventually(lambda: hold.reached.is_set() or first.done(), step=STEP_SECONDS)
        pid: Future[int] = Future()
        second = threads.submit(_act, other, None, pid)
        eventually(lambda: second.done() or _waits_for_a_lock(pid.result()), step=STEP_SECONDS)
        hold.let_go.set()
        return (
            hold.reached.is_set(),
            first.result(PATIENCE_SECONDS),
            second.result(PATIENCE_SECONDS),
        )


def _act(actor: Actor, hold: Hold | None = None, pid: Future[int] | None = None) -> Any:
    try:
        if pid is not None:
            connection.ensure_connection()
            pid.set_result(connection.connection.info.backend_pid)
        if hold is None:
            return actor()
        with transaction.atomic(), connection.execute_wrapper(hold):
            result = actor()
            # Everything is done and nothing committed.
            hold.wait()
            return result
    except DomainError as refusal:
        return refusal
    finally:
        connection.close()


def _waits_for_a_lock(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
        return bool(cursor.fetchone()[0])
