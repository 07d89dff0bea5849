"""Processes that begin with the libraries loaded: forked by `warm_program.py`, not started by the system.

Loading them takes seconds of a processor, and the tests start hundreds of processes. `SILO_TEST_COLD=1` has all of them
started as a user does; those of the tests that are marked `cold` or `alone` always are.
"""

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

_SIZE = struct.Struct("!I")
_CODE = struct.Struct("!i")

# Off in the tests whose processes are started as a user does.
enabled = True


def can_be(command: tuple[str, ...]) -> bool:
    """Say whether a process that runs this may be forked: it is `python -W error SCRIPT …`, and nobody forbids it."""
    allowed = enabled and not os.environ.get("SILO_TEST_COLD")
    return allowed and command[:3] == (sys.executable, "-W", "error") and command[3].endswith(".py")


class WarmProcess:
    """What is used of `subprocess.Popen`, for a process that was forked."""

    def __init__(self, command: tuple[str, ...], cwd: Path, env: dict[str, str]) -> None:
        output, write_output = os.pipe()
        self._exit, write_exit = os.pipe()
        order: dict[str, Any] = {"command": list(command[3:]), "cwd": str(cwd), "env": env}
        try:
            self.pid = _program().fork(order, [write_output, write_exit])
        finally:
            os.close(write_output)
            os.close(write_exit)
        self.stdout: TextIO | None = os.fdopen(output, encoding="utf-8")
        self.stdin: TextIO | None = None
        self._code: int | None = None
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended.

        Raises:
            subprocess.TimeoutExpired: if it has not in so many seconds.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended(self, within: float | None) -> int | None:
        with self._reading:
            if self._code is None and select.select([self._exit], [], [], within)[0]:
                told = os.read(self._exit, _CODE.size)
                assert told, "the process that forks has ended"
                (self._code,) = _CODE.unpack(told)
                os.close(self._exit)
            return self._code


class _Program:
    """The process that forks."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        self._turn = threading.Lock()
        script = str(Path(__file__).with_name("warm_program.py"))
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-W", "error", script, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                # A Ctrl-C at the terminal is for the tests.
                start_new_session=True,
            )
        atexit.register(self.close)

    def fork(self, order: dict[str, Any], descriptors: list[int]) -> int:
        """Have it fork a process; return its id."""
        message = json.dumps(order).encode()
        with self._turn:
            socket.send_fds(self._orders, [_SIZE.pack(len(message))], descriptors)
            self._orders.sendall(message)
            answer = self._orders.recv(_SIZE.size)
        assert answer, "the process that forks has ended"
        return int(_SIZE.unpack(answer)[0])

    def close(self) -> None:
        """End it. What it has forked and is still running goes on."""
        self._orders.close()
        self._popen.wait()


_only: _Program | None = None
_making = threading.Lock()


def _program() -> _Program:
    global _only
    with _making:
        if _only is None:
            _only = _Program()
        return _only
