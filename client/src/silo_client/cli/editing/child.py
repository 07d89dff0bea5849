"""The command that runs while a session is held."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from silo_client.cli.editing.descendants import Descendants
from silo_client.cli.environment import encodable
from silo_client.cli.exit_codes import KILLED, CommandError, ExitCode
from silo_client.cli.signals import CHILDREN, ENDING, TYPED, handling

# From the request to end until the command is killed.
END_SECONDS = 10.0


def check_command(command: Sequence[str]) -> None:
    """Check that a command can be run, before waiting for a session.

    Raises:
        CommandError: the program does not exist, or cannot be executed.
    """
    name = command[0]
    if shutil.which(name):
        return
    if os.sep in name and Path(name).exists():
        message = f"{name} cannot be executed."
        raise CommandError(message, code=ExitCode.NOT_EXECUTABLE)
    raise CommandError(f"There is no command {name!r}.", code=ExitCode.COMMAND_NOT_FOUND)


class Child:
    """The command of `silo edit`.

    Args:
        command: the program and its arguments.
        own: returns the process ids of children that do not belong to it.
    """

    def __init__(self, command: Sequence[str], own: Callable[[], set[int]] = set) -> None:
        # How long it ran.
        self.seconds = 0.0
        # The processes that it started and that go on after its end.
        self.descendants = Descendants(own)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._pending: list[int] = []
        self._killing: threading.Timer | None = None
        self._changing = threading.Lock()
        self._unwanted = False

    def run(self, environment: Mapping[str, str]) -> int:
        """Run it in the foreground; return its exit code, as a shell reports it.

        A typed signal, such as Ctrl-C, reaches the command from the terminal, and the command decides. A signal that
        only this process gets is passed on; this process goes on until the command has ended.

        Raises:
            CommandError: the command cannot be executed after all.
        """
        self.descendants.watch()
        begun = time.monotonic()
        with handling(TYPED, self._leave_to_command), handling(ENDING, self._pass_on):
            code = self._run(environment)
        self.seconds = time.monotonic() - begun
        if self._killing is not None:
            self._killing.cancel()
        return code if code >= 0 else KILLED - code

    def _run(self, environment: Mapping[str, str]) -> int:
        with handling(CHILDREN, self._take_off):
            with self._changing:
                self._process = process = self._start(environment)
                self.descendants.command = process.pid
                if self._unwanted:
                    self._end(process)
            for number in self._pending:
                process.send_signal(number)
            return process.wait()

    def end(self) -> None:
        """End it, or, where it has ended, the processes that it left. Kill it if it does not end in time."""
        with self._changing:
            self._unwanted = True
            if self._process is None:
                return
            if self._process.returncode is None:
                self._end(self._process)
            else:
                self.descendants.signal(signal.SIGTERM)

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [encodable(word) for word in self._command],
                env={name: encodable(value) for name, value in environment.items()},
            )
        except FileNotFoundError as error:
            # Its own file, or the interpreter that its first line names.
            raise CommandError(f"{error}.", code=ExitCode.COMMAND_NOT_FOUND) from error
        except OSError as error:
            raise CommandError(f"{error}.", code=ExitCode.NOT_EXECUTABLE) from error

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        self._killing = threading.Timer(END_SECONDS, process.kill)
        self._killing.daemon = True
        self._killing.start()

    def _take_off(self, number: int, frame: FrameType | None) -> None:
        """Reap orphans of the command that have ended; not the command itself."""
        if self.descendants.command:
            self.descendants.living()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._process is None:
            self._pending.append(number)
        else:
            self._process.send_signal(number)

    def _leave_to_command(self, number: int, frame: FrameType | None) -> None:
        """Do nothing if it was typed. The command does not inherit this, as it would inherit an ignored signal."""
        if not _is_in_foreground():
            self._pass_on(number, frame)


def _is_in_foreground() -> bool:
    """Whether this process gets what is typed at its terminal."""
    if not hasattr(os, "tcgetpgrp"):
        return True
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        # There is no terminal.
        return False
