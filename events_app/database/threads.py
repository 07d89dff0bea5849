"""Runs database work of the event loop in threads."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from django.db import close_old_connections, connection

P = ParamSpec("P")
T = TypeVar("T")

# A connection that was not used for longer may have broken meanwhile, so it is looked at first.
UNUSED_SECONDS: Final = 1.0


class ConnectedThread(ThreadPoolExecutor):
    """One thread that keeps its database connection from call to call, with the statements that it has prepared.

    One of the pool would be looked at before each call, which takes a round trip.

    Args:
        name: its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(1, thread_name_prefix=name)
        self._used_at = float("-inf")

    def end(self) -> None:
        """Have the thread hand its connection back and end, after what is under way in it."""
        # The connection is another one in each thread.
        self.submit(lambda: connection.close())
        self.shutdown(wait=False)

    def run(self, call: Callable[[], T]) -> T:
        """Do what `in_thread` does, in the thread."""
        if time.monotonic() - self._used_at > UNUSED_SECONDS:
            look_at_connection()
        try:
            return call()
        except BaseException:
            look_at_connection()
            raise
        finally:
            self._used_at = time.monotonic()


async def in_thread(
    threads: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a synchronous function that may use the ORM in one of the threads; return what it returns."""
    run = threads.run if isinstance(threads, ConnectedThread) else _run
    call = partial(function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(threads, run, call)


def _run(call: Callable[[], T]) -> T:
    try:
        return call()
    finally:
        # Hands the connection back to the pool, and drops one that broke.
        close_old_connections()


def look_at_connection() -> None:
    """Give this thread's connection up if it is broken."""
    if connection.connection is not None and not connection.is_usable():
        give_connection_up()


def give_connection_up() -> None:
    """End this thread's connection, which nobody else gets."""
    if connection.connection is not None:
        connection.connection.close()
        connection.close()
