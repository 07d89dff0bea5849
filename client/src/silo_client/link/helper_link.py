"""The parent's end of the helper: starts it, sends it commands, reads what it tells, starts it again if it dies."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from silo_client.common import clock
from silo_client.common.obligations import Ledger
from silo_client.common.shared_memory import Shared
from silo_client.common.visible import get_logger
from silo_client.errors import HelperError, StateError
from silo_client.forking import Owner, close_in_child
from silo_client.helper.cleanup import LEAVING_SECONDS
from silo_client.helper.main import Message, Plan
from silo_client.link.helper_process import HelperProcess
from silo_client.link.interpreter import find_python

logger = get_logger()

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

Handler = Callable[[Message], None]


class HelperLink:
    """A running helper, started again when it dies. A forked child of this process does nothing with it.

    Args:
        plan: whom to connect as.
        shared: the memory that it shares.
        handle: called with each message, in a thread of its own, for which it must not wait.
        position: says from which event id a new helper goes on.
        python: the interpreter to run it with; found without it.
        new_memory: makes other memory, where the file of this one was deleted and another helper is to find it.

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
        new_memory: Callable[[], Shared] | None = None,
    ) -> None:
        self.shared = shared
        self._new_memory = new_memory
        self._plan = plan
        self._handle = handle
        self._position = position
        self._python = find_python(python)
        self._owner = Owner()
        self._ledger = Ledger()
        self._read = 0
        self._confirmed = 0
        self._confirmations = itertools.count(1)
        self._caught_up = threading.Condition()
        # Over the ledger, the pipe, and which helper it leads to.
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._errors = _Errors()
        try:
            self._process = HelperProcess(self._python, plan, self._errors.target)
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
        if not (self._owner.is_here and self._process.is_running):
            return 0.0
        shared = self.shared
        # In this order: the helper counts a message before it is sure of what comes after it.
        sure_until = shared.sure_until
        told = shared.told
        if clock.now() >= sure_until or self._read >= told:
            return sure_until
        with self._caught_up:
            done = self._caught_up.wait_for(lambda: self._read >= told, CATCH_UP_SECONDS)
        return sure_until if done else 0.0

    def send(self, **command: Any) -> None:
        """Send a command. A helper that has died is told of it when it is started again."""
        if not self._owner.is_here:
            return
        with self._sending:
            self._ledger.obey(command)
            self._process.write(command)

    def send_and_confirm(self, **command: Any) -> None:
        """Send a command, and wait until the helper has carried it out and told everything of before, or for a second.

        Not for the thread that handles messages.
        """
        if not self._owner.is_here:
            return
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
        if not self._owner.is_here or self._closing.is_set():
            return
        self._closing.set()
        # Somebody may be waiting to write to a helper that reads nothing.
        if self._sending.acquire(timeout=SEND_SECONDS):
            try:
                self._process.write({"leave": True})
                self._process.close_input()
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
        self._process.close_pipes()
        self.shared.sure_until = 0.0
        with suppress(OSError):
            self.shared.path.unlink()
        self._errors.close()

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
            self._handle({"died": code, "why": self._errors.last, "final": final})
            first = False
            pause = RESTART_SECONDS if started else min(2 * pause, LONGEST_RESTART_SECONDS)
            if final or not self._restart(pause):
                return

    def _read_one(self) -> bool:
        """Read all that one helper tells; return whether it has told anything."""
        started = False
        for line in self._process.lines():
            try:
                message = dict(json.loads(line))
            except (ValueError, TypeError):
                # It was killed while it wrote, or something else of its interpreter's has written.
                logger.warning("the helper said: %s", line.decode(errors="replace"))
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
                try:
                    self._renew_memory()
                except StateError as error:
                    logger.warning("%s", error)
                    continue
                # What the dead one had counted and not written never comes.
                self.shared.told = self._read
                plan = dataclasses.replace(
                    self._plan,
                    memory=str(self.shared.path),
                    last_event_id=self._position(),
                    leftovers=self._ledger.commands(),
                )
                try:
                    process = HelperProcess(self._python, plan, self._errors.target)
                except HelperError as error:
                    logger.warning("%s", error)
                    continue
                self._process.close_pipes()
                self._process = process
                return True
        return False

    def _renew_memory(self) -> None:
        if self._new_memory is not None and not self.shared.is_there:
            new = self._new_memory()
            new.touched = self.shared.touched
            self.shared = new


class _Errors:
    """What helpers write where something goes wrong, kept as long as the link; nowhere if no file can be made."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        with suppress(OSError):
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        close_in_child(self, _Errors.close)

    @property
    def target(self) -> IO[bytes] | int:
        return self._file or subprocess.DEVNULL

    @property
    def last(self) -> str:
        """The last line."""
        if self._file is None:
            return ""
        self._file.seek(0)
        lines = self._file.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
