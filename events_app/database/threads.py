"""Runs database work of the event loop in threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(
    threads: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a synchronous function that may use the ORM in one of the threads; return what it returns."""

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            # Hands the connection back to the pool, and drops one that broke.
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(threads, call)
