"""Processes that a measurement starts: they write to a log, and end with it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

STARTING_SECONDS = 60.0
STOPPING_SECONDS = 20.0


class Background:
    """A process in a group of its own.

    Args:
        command: the program and its arguments.
        log: where its output goes.
        cwd: its folder.
        env: its environment; None for this one's.
    """

    def __init__(
        self,
        *command: str,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._name = command[0]
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  (the commands are this folder's own)
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        """Return what it has written so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it has ended, or is not ready in a minute; with its output's end.
        """
        until = time.monotonic() + STARTING_SECONDS
        while not ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self._name} did not start:\n{self.output()[-2000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        """End it and all of its group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOPPING_SECONDS)


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Return whether something listens on a port of this machine."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def killed(connection: socket.socket) -> float:
    """Give a socket to a process of its own, kill that process, and return when it was killed."""
    # Not a Python: it ends within a moment.
    holder = subprocess.Popen(["sleep", "600"], pass_fds=[connection.fileno()])  # noqa: S607
    connection.close()
    at = time.monotonic()
    holder.kill()
    holder.wait()
    return at
