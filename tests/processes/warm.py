"""Processes that begin with the libraries loaded: forked by `warm_program.py`, not started by the system.

Loading them takes seconds of a processor, and the tests start hundreds of processes. `SILO_TEST_COLD=1` has all of them
started as a user does; those of the tests that are marked `cold` or `alone` always are.
"""

import atexit
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent.parent
RUN_SECONDS = 60

_SIZE = struct.Struct("!I")
_CODE = struct.Struct("!i")

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}

# Off in the tests whose processes are started as a user does.
enabled = True


# What the interpreter itself reads when it starts: a forked one has read it.
_READ_AT_THE_START = re.compile("PYTHON[A-Z0-9]+|LANG|LC_[A-Z]+")


def can_be(command: tuple[str, ...], env: dict[str, str]) -> bool:
    """Say whether a process may be forked.

    It may if it is `python -W error SCRIPT …` or `python -W error -m MODULE …`, with the variables that the interpreter
    reads as the process that forks had them, and if nobody forbids it.
    """
    allowed = enabled and not os.environ.get("SILO_TEST_COLD")
    return (
        allowed
        and command[:3] == (sys.executable, "-W", "error")
        and (command[3] == "-m" or command[3].endswith(".py"))
        and _read_at_the_start(env) == _read_at_the_start(os.environ | UNBUFFERED)
    )


def _read_at_the_start(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if _READ_AT_THE_START.fullmatch(name)}


def run(
    command: tuple[str, ...], env: dict[str, str], given: str = "", cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Run a process to its end as `subprocess.run` does; return its code, its output and its errors.

    Args:
        command: forked if it may be.
        env: its environment.
        given: its standard input.
        cwd: where it runs.

    Raises:
        subprocess.TimeoutExpired: if it has not ended in a minute.
    """
    if not can_be(command, env):
        return subprocess.run(
            command,
            cwd=cwd,
            env=env,
            input=given,
            check=False,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
    process = WarmProcess(command, cwd, env, subprocess.PIPE, subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process.stdout as stdout, process.stderr as stderr, ThreadPoolExecutor(2) as readers:
        outputs = [readers.submit(stream.read) for stream in (stdout, stderr)]
        try:
            with suppress(BrokenPipeError), closing(process.stdin) as stdin:
                stdin.write(given)
            code = process.wait(RUN_SECONDS)
        except BaseException:
            process.send_signal(signal.SIGKILL)
            raise
        out, err = (output.result(RUN_SECONDS) for output in outputs)
    return subprocess.CompletedProcess(command, code, out, err)


class WarmProcess:
    """What is used of `subprocess.Popen`, for a process that was forked.

    Args:
        command: see `can_be`.
        cwd: where it runs.
        env: its environment.
        stdin: `subprocess.PIPE`; without it the process has the tests' own standard input.
        stderr: `subprocess.PIPE`; without it standard error goes where standard output goes.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        cwd: Path,
        env: dict[str, str],
        stdin: int | None = None,
        stderr: int = subprocess.STDOUT,
    ) -> None:
        output, write_output = os.pipe()
        errors, write_errors = (
            os.pipe() if stderr == subprocess.PIPE else (None, os.dup(write_output))
        )
        read_input, write_input = os.pipe() if stdin == subprocess.PIPE else (os.dup(0), None)
        self._exit, write_exit = os.pipe()
        theirs = [read_input, write_output, write_errors, write_exit]
        order: dict[str, Any] = {"command": list(command[3:]), "cwd": str(cwd), "env": env}
        try:
            self.pid = _program().fork(order, theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self.stdout = _text(output, "r")
        self.stderr = _text(errors, "r")
        self.stdin = _text(write_input, "w")
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


def _text(descriptor: int | None, mode: str) -> TextIO | None:
    if descriptor is None:
        return None
    # Open until the process or its test has ended, and closed there.
    return os.fdopen(descriptor, mode, encoding="utf-8")


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
                env=os.environ | UNBUFFERED,
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
