"""A running helper, as the program sees it: a process, and a pipe to it and from it.

A thread writes to the pipe, so nobody waits for a helper that reads nothing: it was stopped, for example.

The pipes have no buffers in this process: a forked child would have a copy of them, and write their contents again.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from silo_client.common.protocol import Message, Plan
from silo_client.errors import HelperError
from silo_client.forking import close_in_child
from silo_client.link.interpreter import PYTHON_VARIABLE, Interpreter, surroundings

# Nothing is imported from the current folder, to which many may write. The folders from which this process imports the
# client come after those of the interpreter. A named interpreter may be one that cannot run this: any version reads it.
CODE = """
import sys
if sys.version_info < (3, 9):
    sys.exit("Python 3.9 or newer is needed, and %s is Python %d.%d" % ((sys.executable,) + sys.version_info[:2]))
sys.path[:] = [p for p in sys.path if p] + sys.argv[1:]
try:
    from silo_client.helper.main import main
except Exception as error:
    sys.exit("%s cannot import the client: %s: %s" % (sys.executable, type(error).__name__, error))
main()
"""
READ_AT_ONCE = 65536


class HelperProcess:
    """One helper, from its start to its end.

    Args:
        python: its interpreter.
        plan: the first line that it gets.
        errors: its standard error: a file, or what `subprocess` takes for one.

    Raises:
        HelperError: the helper cannot be started.
    """

    def __init__(self, python: Interpreter, plan: Plan, errors: IO[bytes] | int) -> None:
        try:
            self._process = subprocess.Popen(
                python.command(CODE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                **surroundings(),
            )
        except OSError as error:
            raise HelperError(
                f"{python.path} could not be started ({error}): name a Python interpreter"
                f" with python= or {PYTHON_VARIABLE}."
            ) from error
        close_in_child(self, HelperProcess._forget)
        self._is_closing = False
        self._lines: queue.SimpleQueue[tuple[bytes, threading.Event] | None] = queue.SimpleQueue()
        threading.Thread(target=self._write_lines, daemon=True, name="to the helper").start()
        # The token goes by the pipe, because other users can see a command line. If the helper has ended already, the
        # end of its output shows that.
        self.write(dataclasses.asdict(plan))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def write(self, command: Message) -> threading.Event:
        """Have a line written, after those before it. Waits for nothing.

        Returns:
            What is set when the line is in the pipe: the helper reads it, also if this process dies before. A helper
            that has ended, or whose input is closed, gets nothing.
        """
        written = threading.Event()
        if self._is_closing:
            written.set()
            return written
        self._lines.put((json.dumps(command).encode() + b"\n", written))
        return written

    def _write_lines(self) -> None:
        pipe: Any = self._process.stdin
        while (line := self._lines.get()) is not None:
            left, written = memoryview(line[0]), line[1]
            with suppress(OSError, ValueError):
                while left:
                    left = left[pipe.write(left) :]
            written.set()
        with suppress(OSError):
            pipe.close()

    def lines(self) -> Iterator[bytes]:
        """Yield its output line by line until it ends, an unfinished last line included."""
        pipe: Any = self._process.stdout
        rest = b""
        with suppress(OSError, ValueError):  # closed meanwhile
            while chunk := pipe.read(READ_AT_ONCE):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        if rest:
            yield rest

    def close_input(self) -> None:
        """Close its standard input after the lines before: no more commands come."""
        self._is_closing = True
        self._lines.put(None)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its end; return its exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time.
        """
        return self._process.wait(seconds)

    def close_pipes(self) -> None:
        """Close both ends that this process has. To be called once the helper has ended."""
        self.close_input()
        self._close_ends()

    def _close_ends(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()

    def _forget(self) -> None:
        """Close the pipes in a forked child of the program, which has nothing to do with the helper."""
        self._close_ends()
        # Else Python would wait for its end when this object is collected.
        self._process.returncode = 0
