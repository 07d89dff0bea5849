"""Runs an object in a process of its own, on an event loop: load is made there, and its cost can be told apart.

The object's coroutine methods are called from here, one after the other or while another object's runs.
"""

import asyncio
import multiprocessing
import os
import resource
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

_SPAWN = multiprocessing.get_context("spawn")
# Of a call that never answers.
PATIENCE_SECONDS = 600.0


class Apart:
    """A process with one object.

    Args:
        make: a class or function that makes the object there, importable by its name.
        arguments: its arguments; like those of calls, they are pickled.
    """

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_run, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def call(self, method: str, *arguments: Any, within: float = PATIENCE_SECONDS) -> Any:
        """Call a method of the object and return its result.

        Raises:
            RuntimeError: the method raised, with its traceback.
            TimeoutError: there was no answer in `within` seconds.
        """
        self.begin(method, *arguments)
        return self.result(within)

    def begin(self, method: str, *arguments: Any) -> None:
        """Begin a call, whose result `result` returns."""
        self._pipe.send((method, arguments))

    def result(self, within: float = PATIENCE_SECONDS) -> Any:
        """Return the result of the call that was begun; raises as `call`."""
        if not self._pipe.poll(within):
            raise TimeoutError(f"no answer in {within:.0f} s")
        good, value = self._pipe.recv()
        if not good:
            raise RuntimeError(value)
        return value

    def kill(self) -> None:
        """Kill the process; its sockets are closed by the kernel."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the process and wait for its end."""
        with suppress(ProcessLookupError):
            self.kill()
        self._process.join()
        self._pipe.close()


def own_cpu_seconds() -> float:
    """Return the processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _run(pipe: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A Ctrl-C is for the one who started it, which then ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError):
        asyncio.run(_answer(pipe, make(*arguments)))


async def _answer(pipe: Connection, made: Any) -> None:
    loop = asyncio.get_running_loop()
    while True:
        method, arguments = await loop.run_in_executor(None, pipe.recv)
        try:
            answer = (True, await getattr(made, method)(*arguments))
        except Exception:
            answer = (False, traceback.format_exc())
        pipe.send(answer)
