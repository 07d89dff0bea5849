"""The parent's end of the helper: starts it, sends it commands, reads what it tells, starts it again if it dies."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from silo_client import clock
from silo_client.errors import HelperError
from silo_client.helper import LEAVING_SECONDS, Message, Plan
from silo_client.shared import Shared

# How long `valid` waits for messages that the helper has told and this process has not read: they are in a pipe.
CATCH_UP_SECONDS = 0.5
RESTART_SECONDS = 1.0
# More than the helper needs to release what is left.
END_SECONDS = LEAVING_SECONDS + 2.0
PYTHON_VARIABLE = "SILO_PYTHON"
# POSIX: not of the terminal's group, so that its Ctrl-C and its end are the parent's; Windows: the same, and no window.
_WINDOWS_FLAGS = 0x08000000 | 0x00000200

Handler = Callable[[Message], None]


class HelperLink:
    """A running helper, started again when it dies.

    Args:
        plan: whom to connect as.
        handle: called with each message, in a thread of its own, for which it must not wait.
        state: says what of the plan is another for a new helper: where it goes on, what the parent has.
        python: the interpreter to run it with; found without it.
    """

    def __init__(
        self,
        plan: Plan,
        shared: Shared,
        handle: Handler,
        state: Callable[[], dict[str, Any]],
        python: str | None = None,
    ) -> None:
        self.shared = shared
        self._plan = plan
        self._handle = handle
        self._state = state
        self._python = python or find_python()
        self._read = 0
        self._caught_up = threading.Condition()
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the helper)
        self._process = self._begin(plan)
        self._thread = threading.Thread(target=self._follow, daemon=True, name="silo helper")

    def start(self) -> None:
        """Have messages handled from now on."""
        self._thread.start()

    @property
    def pid(self) -> int:
        """The helper's process id."""
        return self._process.pid

    def sure_until(self) -> float:
        """Until when the workstation is certainly connected, everything considered that the helper has told.

        Waits, if anything is still to be read, at most half a second. Returns 0 if it is not read by then.
        """
        if self._process.poll() is not None:
            return 0.0
        # In this order: the helper counts a message before it is sure of what comes after it.
        sure_until = self.shared.sure_until
        told = self.shared.told
        if clock.now() >= sure_until or self._read >= told:
            return sure_until
        with self._caught_up:
            done = self._caught_up.wait_for(lambda: self._read >= told, CATCH_UP_SECONDS)
        return sure_until if done else 0.0

    def send(self, command: Message) -> None:
        """Send a command. A helper that has died gets it by being started again."""
        line = json.dumps(command) + "\n"
        with self._sending, suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def close(self) -> None:
        """Have it leave, and wait for its end."""
        if self._closing.is_set():
            return
        self._closing.set()
        self.send({"leave": True})
        with self._sending, suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._thread.ident is not None:
            self._thread.join(END_SECONDS)
        self._close_pipes()
        self.shared.sure_until = 0.0
        self.shared.remove()
        self._errors.close()

    def _begin(self, plan: Plan) -> subprocess.Popen[str]:
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        try:
            process = subprocess.Popen(
                [self._python, "-c", "from silo_client.helper import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": path},
                **_detached(),
            )
        except OSError as error:
            self._errors.close()
            raise HelperError(
                f"{self._python} could not be started ({error}): name a Python interpreter"
                f" by python= or {PYTHON_VARIABLE}."
            ) from error
        assert process.stdin is not None
        with suppress(OSError):  # it has ended: told by the end of its output
            # The token goes this way, and not by what other users can see of a process.
            process.stdin.write(json.dumps(dataclasses.asdict(plan)) + "\n")
            process.stdin.flush()
        return process

    def _follow(self) -> None:
        """Read what helpers tell until closed."""
        while True:
            started = self._read_one()
            if self._closing.is_set():
                return
            # What it was sure of, nobody keeps up any more.
            self.shared.sure_until = 0.0
            code = self._process.wait()
            self._handle({"died": code, "why": self._complaint(), "final": not started})
            if not started or self._closing.wait(RESTART_SECONDS):
                return
            try:
                self._restart()
            except HelperError as error:
                self._handle({"died": code, "why": str(error), "final": True})
                return

    def _read_one(self) -> bool:
        """Read all that one helper tells; return whether it has told anything."""
        assert self._process.stdout is not None
        started = False
        for line in self._process.stdout:
            started = True
            self._handle(json.loads(line))
            with self._caught_up:
                self._read += 1
                self._caught_up.notify_all()
        return started

    def _restart(self) -> None:
        plan = dataclasses.replace(self._plan, **self._state())
        # What the dead one had counted and not written never comes.
        self.shared.told = self._read
        with self._sending:
            self._close_pipes()
            self._process = self._begin(plan)

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was to be written finds no reader
                pipe.close()

    def _complaint(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def find_python() -> str:
    """Return a Python interpreter that can run the helper.

    In a program that embeds Python, `sys.executable` is often that program.

    Raises:
        HelperError: there is none.
    """
    if named := os.environ.get(PYTHON_VARIABLE):
        return named
    for candidate in _candidates():
        name = Path(candidate).name.lower()
        if name.startswith(("python", "pypy")) and os.access(candidate, os.X_OK):
            return candidate
    raise HelperError(
        "No Python interpreter was found beside this program: name one by python=, or in the"
        f" environment variable {PYTHON_VARIABLE}."
    )


def _candidates() -> Iterator[str]:
    yield sys.executable or ""
    yield getattr(sys, "_base_executable", "") or ""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for prefix in (sys.prefix, sys.exec_prefix, str(Path(sys.executable or ".").parent)):
        for place in ("python.exe", f"bin/python{version}", "bin/python3", "bin/python.exe"):
            yield str(Path(prefix, place))


def _detached() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": _WINDOWS_FLAGS}
    return {"start_new_session": True}
