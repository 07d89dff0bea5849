"""Run the lines of the Procfile side by side until Ctrl-C, SIGTERM or the terminal's end, or until one of them ends.

    side_by_side.py [FILE] [--procfile PROCFILE]

The file is printed once the server on PORT (default 8000) is ready.

By honcho, with what it needs to leave nothing behind: it stands in a session of its own, as its helper processes die
of a Ctrl-C that comes while they start; it waits with the end until it knows whom to end; and it goes on without a
terminal that is gone.
"""

import argparse
import http.client
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from honcho.environ import parse_procfile  # type: ignore[import-untyped]
from honcho.manager import Manager  # type: ignore[import-untyped]
from honcho.printer import Printer  # type: ignore[import-untyped]

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STARTING_SECONDS = 0.05
LOOK_MILLISECONDS = 100
READY_SECONDS = 1.0


class PatientManager(Manager):  # type: ignore[misc]
    """A manager that can be told to end while its processes are starting."""

    def terminate(self) -> None:
        """End all, as soon as all are known."""
        if self._all_started():
            super().terminate()
        else:
            signal.signal(signal.SIGALRM, lambda number, frame: self.terminate())
            signal.setitimer(signal.ITIMER_REAL, STARTING_SECONDS)


class Output:
    """Standard output, or nothing once its reader is gone."""

    def isatty(self) -> bool:
        """Say whether colours are seen."""
        return sys.stdout.isatty()

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stdout.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stdout.flush()


class Welcome:
    """What is printed once, as soon as the server is ready."""

    def __init__(self, text: str, port: int) -> None:
        self._text = text
        self._port = port

    def look(self) -> None:
        """Print the text if it is time."""
        if self._text and self._is_ready():
            output = Output()
            output.write(self._text)
            output.flush()
            self._text = ""

    def _is_ready(self) -> bool:
        server = http.client.HTTPConnection("127.0.0.1", self._port, timeout=READY_SECONDS)
        try:
            server.request("GET", "/ready")
            return server.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            server.close()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="side_by_side.py")
    parser.add_argument("welcome", nargs="?", type=Path, metavar="FILE")
    parser.add_argument("--procfile", type=Path, default=Path("Procfile"))
    given = parser.parse_args(arguments)
    text = given.welcome.read_text(encoding="utf-8") if given.welcome else ""
    welcome = Welcome(text, int(os.environ.get("PORT") or "8000"))
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
        sys.exit(run_procfile(given.procfile))
    stopped = False

    def stop(*_: Any) -> None:
        nonlocal stopped
        stopped = True
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    for number in STOP:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
    status = wait(child, at_hang_up=stop, meanwhile=welcome.look)
    # A stop that was asked for is no failure.
    sys.exit(0 if stopped else abs(os.waitstatus_to_exitcode(status)))


def wait(child: int, at_hang_up: Callable[[], None], meanwhile: Callable[[], None]) -> int:
    """Wait for the child's end; return its status.

    Args:
        child: the process.
        at_hang_up: called when the terminal is gone.
        meanwhile: called several times a second.

    The kernel tells only the first process of a terminal that the terminal is gone, and make keeps it to itself.
    """
    terminal = select.poll()
    if sys.stdin is not None and sys.stdin.isatty():
        terminal.register(sys.stdin, 0)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        meanwhile()
        if hung_up := terminal.poll(LOOK_MILLISECONDS):
            terminal.unregister(hung_up[0][0])
            at_hang_up()


def run_procfile(procfile: Path) -> int:
    """Run the lines of a Procfile until all have ended; return the exit code of the first."""
    # They say `python` and mean this one.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    manager = PatientManager(Printer(Output()))
    for name, command in parse_procfile(procfile.read_text()).processes.items():
        manager.add_process(name, command, env={**os.environ, "PATH": path})
    manager.loop()
    return abs(int(manager.returncode or 0))


if __name__ == "__main__":
    main(sys.argv[1:])
