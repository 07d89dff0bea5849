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

# After being asked to end, so long until it is killed.
END_SECONDS = 10.0


def check_command(command: Sequence[str]) -> None:
    """See that a command can be run, before anybody waits for a session to run it with.

    Raises:
        CommandError: there is no such program, or it cannot be executed.
    """
    name = command[0]
    if shutil.which(name):
        return
    if os.sep in name and Path(name).exists():
        message = f"{name} cannot be executed."
        raise CommandError(message, code=ExitCode.NOT_EXECUTABLE)
    raise CommandError(f"There is no command {name!r}.", code=ExitCode.COMMAND_NOT_FOUND)


class Child:
    """A command: started, told of signals, ended.

    Args:
        command: the program and its arguments.
        own: returns the process ids of children that are no part of it.
    """

    def __init__(self, command: Sequence[str], own: Callable[[], set[int]] = set) -> None:
        # How long it ran.
        self.seconds = 0.0
        # What goes on of it when it has ended itself.
        self.descendants = Descendants(own)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._pending: list[int] = []
        self._killing: threading.Timer | None = None
        self._changing = threading.Lock()
        self._unwanted = False

    def run(self, environment: Mapping[str, str]) -> int:
        """Run it in the foreground; return its exit code, as a shell tells it.

        What is typed, Ctrl-C say, the terminal sends to the command as well, whose affair it is. What is sent to this
        process alone is passed on; it goes on until the command has ended.

        Raises:
            CommandError: it cannot be executed after all.
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
        """Ask it to end, and kill it if it does not. It may not have begun; if it is over, ask what it has left."""
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
            # The interpreter that its first line names, perhaps.
            raise CommandError(f"{error}.", code=ExitCode.COMMAND_NOT_FOUND) from error
        except OSError as error:
            raise CommandError(f"{error}.", code=ExitCode.NOT_EXECUTABLE) from error

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        self._killing = threading.Timer(END_SECONDS, process.kill)
        self._killing.daemon = True
        self._killing.start()

    def _take_off(self, number: int, frame: FrameType | None) -> None:
        """Take what the command had left alone, and has ended, off the system's list; not the command itself."""
        if self.descendants.command:
            self.descendants.living()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._process is None:
            self._pending.append(number)
        else:
            self._process.send_signal(number)

    def _leave_to_command(self, number: int, frame: FrameType | None) -> None:
        """Do nothing, if it was typed. Unlike a signal that is ignored, this is not inherited by the command."""
        if not _is_in_foreground():
            self._pass_on(number, frame)


def _is_in_foreground() -> bool:
    """Whether what is typed at this process's terminal reaches it."""
    if not hasattr(os, "tcgetpgrp"):
        return True
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        # It has none.
        return False
