"""The parent's end of the helper: starts it, sends it commands, reads what it tells, starts it again if it dies."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from silo_client import clock
from silo_client.errors import HelperError
from silo_client.helper import Message, Plan
from silo_client.leaving import LEAVING_SECONDS
from silo_client.ledger import Ledger
from silo_client.shared import Shared

logger = logging.getLogger("silo_client")

# How long `valid` waits for messages that the helper has told and this process has not read: they are in a pipe.
CATCH_UP_SECONDS = 0.5
# A helper that dies is started again, after longer and longer pauses.
RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 30.0
# It carries a command out in milliseconds.
CONFIRM_SECONDS = 1.0
# A helper that reads nothing (it was stopped) is ended.
SEND_SECONDS = 1.0
# More than the helper needs to give up what is left.
END_SECONDS = LEAVING_SECONDS + 2.0
PYTHON_VARIABLE = "SILO_PYTHON"
# Nothing from the current folder, which is a project's that many can write to; and what this process can import, after
# what the interpreter has of its own.
CODE = (
    "import sys; sys.path[:] = [p for p in sys.path if p] + sys.argv[1:];"
    " from silo_client.helper import main; main()"
)
# POSIX: not of the terminal's group, so that its Ctrl-C and its end are the parent's; Windows: the same, and no window.
_WINDOWS_FLAGS = 0x08000000 | 0x00000200

Handler = Callable[[Message], None]


class HelperLink:
    """A running helper, started again when it dies.

    Args:
        plan: whom to connect as.
        shared: the memory that it shares.
        handle: called with each message, in a thread of its own, for which it must not wait.
        position: says from which event id a new helper goes on.
        python: the interpreter to run it with; found without it.

    Raises:
        HelperError: it cannot be started.
    """

    def __init__(
        self,
        plan: Plan,
        shared: Shared,
        handle: Handler,
        position: Callable[[], str],
        python: str | None = None,
    ) -> None:
        self.shared = shared
        self._plan = plan
        self._handle = handle
        self._position = position
        self._python = python or find_python()
        self._ledger = Ledger()
        self._read = 0
        self._confirmed = 0
        self._confirmations = itertools.count(1)
        self._caught_up = threading.Condition()
        # Over the ledger, the pipe, and which helper it leads to.
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the helper)
        try:
            self._process = self._begin(plan)
        except HelperError:
            self._errors.close()
            raise
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

    def send(self, **command: Any) -> None:
        """Send a command. A helper that has died is told of it when it is started again."""
        with self._sending:
            self._ledger.obey(command)
            self._write(command)

    def send_and_confirm(self, **command: Any) -> None:
        """Send a command, and wait until the helper has carried it out and told everything of before, or for a second.

        Not for the thread that handles messages.
        """
        number = next(self._confirmations)
        self.send(**command, confirm=number)
        with self._caught_up:
            self._caught_up.wait_for(lambda: self._confirmed >= number, CONFIRM_SECONDS)

    def owns(self, told: Mapping[str, Any]) -> bool:
        """Whether what the server tells of is this process's, and no other window's; see `Ledger.owns`."""
        with self._sending:
            return self._ledger.owns(told)

    def has_asked(self, lock: tuple[str, str, str]) -> bool:
        """Whether a session for this lock may have begun, or its turn have come, without anybody reading of it."""
        with self._sending:
            return lock in self._ledger.asked or lock in self._ledger.to_leave

    def note(self, **command: Any) -> None:
        """Take note of what the helper has told, as of a command."""
        with self._sending:
            self._ledger.obey(command)

    def close(self) -> None:
        """Have it leave, and wait for its end. A second time does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        # Somebody may be waiting to write to a helper that reads nothing.
        if self._sending.acquire(timeout=SEND_SECONDS):
            try:
                self._write({"leave": True})
                with suppress(OSError):
                    self._pipe_in.close()
            finally:
                self._sending.release()
        else:
            self._process.kill()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(END_SECONDS)
        self._close_pipes()
        self.shared.sure_until = 0.0
        with suppress(OSError):
            self.shared.path.unlink()
        self._errors.close()

    @property
    def _pipe_in(self) -> Any:
        return self._process.stdin

    def _write(self, command: Message) -> None:
        with suppress(OSError, ValueError):  # it has died
            self._pipe_in.write(json.dumps(command) + "\n")
            self._pipe_in.flush()

    def _begin(self, plan: Plan) -> subprocess.Popen[str]:
        try:
            process = subprocess.Popen(
                [self._python, "-c", CODE, *filter(None, sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                **_detached(),
            )
        except OSError as error:
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
        first, pause = True, RESTART_SECONDS
        while True:
            started = self._read_one()
            if self._closing.is_set():
                return
            # What it was sure of, nobody keeps up any more.
            self.shared.sure_until = 0.0
            code = self._process.wait()
            # What never told anything will not do so the next time. Later, the machine may just be out of memory.
            final = first and not started
            self._handle({"died": code, "why": self._complaint(), "final": final})
            first = False
            pause = RESTART_SECONDS if started else min(2 * pause, LONGEST_RESTART_SECONDS)
            if final or not self._restart(pause):
                return

    def _read_one(self) -> bool:
        """Read all that one helper tells; return whether it has told anything."""
        assert self._process.stdout is not None
        started = False
        with suppress(ValueError, OSError):  # closed meanwhile
            for line in self._process.stdout:
                try:
                    message = json.loads(line)
                except ValueError:
                    # It was killed while it wrote, or something else of its interpreter's has written.
                    logger.warning("the helper said %r", line)
                    continue
                started = True
                self._handle(message)
                with self._caught_up:
                    self._read += 1
                    self._confirmed = max(self._confirmed, message.get("confirmed", 0))
                    self._caught_up.notify_all()
        return started

    def _restart(self, pause: float) -> bool:
        """Start another one after a pause; return False if it is closed meanwhile."""
        while not self._closing.wait(pause):
            with self._sending:
                if self._closing.is_set():
                    return False
                # What the dead one had counted and not written never comes.
                self.shared.told = self._read
                plan = dataclasses.replace(
                    self._plan,
                    last_event_id=self._position(),
                    leftovers=self._ledger.commands(),
                )
                try:
                    process = self._begin(plan)
                except HelperError as error:
                    logger.warning("%s", error)
                    continue
                self._close_pipes()
                self._process = process
                return True
        return False

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
