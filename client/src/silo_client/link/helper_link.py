"""The program's end of the helper: starts it, sends commands, reads messages, and starts it again if it dies."""

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
from silo_client.common.obligations import Obligations
from silo_client.common.protocol import LEAVING_SECONDS, Message, Plan
from silo_client.common.shared_memory import SharedMemory
from silo_client.common.visible import get_logger
from silo_client.data import Lock
from silo_client.errors import HelperError, ServerUnavailableError, StateError
from silo_client.forking import Owner, close_in_child
from silo_client.link.helper_process import HelperProcess
from silo_client.link.interpreter import find_python
from silo_client.network.time_limit import left

logger = get_logger()

# How long `valid` waits for messages that the helper has sent and this process has not read: they are in the pipe.
CATCH_UP_SECONDS = 0.5
# A helper that dies is started again, after longer and longer pauses.
RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 30.0
# The helper carries a command out in milliseconds.
CONFIRM_SECONDS = 1.0
# A helper reads in milliseconds what it is sent; one that was stopped, never.
SEND_SECONDS = 10.0
# More than the helper needs to leave.
END_SECONDS = LEAVING_SECONDS + 2.0

Handler = Callable[[Message], None]

# Threads that wait for helpers that go on leaving, each with the workstation that its helper leaves.
_ending: dict[threading.Thread, str] = {}


def await_ended(workstation_id: str) -> None:
    """Wait until no helper of a closed connection of this process leaves the workstation any more.

    It releases by name what that connection had, also where a new one has got it back as its own.

    Raises:
        ServerUnavailableError: one still does at the end of the thread's time limit.
    """
    for thread, leaves in list(_ending.items()):
        if leaves == workstation_id:
            thread.join(left(2 * END_SECONDS))
            if thread.is_alive():
                raise ServerUnavailableError("The workstation was closed, and is still leaving.")


class Sent:
    """A command on its way to the helper.

    Args:
        written: is set when it is in the pipe; None where nothing was sent.
    """

    def __init__(self, written: threading.Event | None) -> None:
        self._written = written

    def check(self) -> None:
        """Wait until the helper has it, also if this process dies now.

        Raises:
            ServerUnavailableError: it has not within the thread's time limit.
        """
        if self._written is not None and not self._written.wait(left(SEND_SECONDS)):
            raise ServerUnavailableError("The helper process does not read what it is sent.")


class HelperLink:
    """A running helper, started again when it dies. A forked child of this process does nothing with it.

    Args:
        plan: the workstation to connect as.
        memory: the shared memory.
        on_message: called with each message, in a thread of its own, for which it must not wait.
        position: returns the cursor from which a new helper goes on.
        python: the interpreter of the helper; found without it.
        new_memory: makes new memory for the next helper, where the file of this one was deleted.

    Raises:
        HelperError: the helper cannot be started.
    """

    def __init__(
        self,
        plan: Plan,
        memory: SharedMemory,
        on_message: Handler,
        position: Callable[[], str],
        python: str | None = None,
        new_memory: Callable[[], SharedMemory] | None = None,
    ) -> None:
        self.memory = memory
        self._new_memory = new_memory
        self._plan = plan
        self._on_message = on_message
        self._position = position
        self._python = find_python(python)
        self._owner = Owner()
        self._obligations = Obligations()
        self._read = 0
        self._confirmed = 0
        self._confirmations = itertools.count(1)
        self._caught_up = threading.Condition()
        # Over the obligations, the pipe, and the helper that it leads to.
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
        """Read messages from now on."""
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def valid_until(self) -> float:
        """Return until when the lease is valid, after all messages that the helper has sent.

        Waits at most half a second where messages are still to be read. Returns 0 if they are not read by then.
        """
        if not (self._owner.is_here and self._process.is_running):
            return 0.0
        memory = self.memory
        # In this order: the helper counts a message before it writes a later moment.
        valid_until = memory.valid_until
        sent = memory.message_count
        if clock.now() >= valid_until or self._read >= sent:
            return valid_until
        with self._caught_up:
            done = self._caught_up.wait_for(lambda: self._read >= sent, CATCH_UP_SECONDS)
        return valid_until if done else 0.0

    def send(self, **command: Any) -> Sent:
        """Send a command, of verbs of `Obligations` and others. Waits for nothing.

        A helper that is started later gets it too. Returns what says whether the helper has got it.
        """
        if not self._owner.is_here:
            return Sent(None)
        with self._sending:
            self._obligations.apply(command)
            return Sent(self._process.write(command))

    def send_and_confirm(self, **command: Any) -> None:
        """Send a command, and wait until it is carried out and all earlier messages are here, or for a second.

        The wait is also limited by the thread's time limit.

        Not to be called by the thread that reads messages.
        """
        if not self._owner.is_here:
            return
        number = next(self._confirmations)
        self.send(**command, confirm=number)
        with self._caught_up:
            self._caught_up.wait_for(lambda: self._confirmed >= number, left(CONFIRM_SECONDS))

    def owns(self, payload: Mapping[str, Any]) -> bool:
        """See `Obligations.owns`."""
        with self._sending:
            return self._obligations.owns(payload)

    def has_asked(self, lock: Lock) -> bool:
        """Whether a session on this lock may have begun, or its turn have come, without an answer that was read."""
        with self._sending:
            return lock in self._obligations.asked or lock in self._obligations.to_leave

    def note(self, **command: Any) -> None:
        """Apply a command that the helper has sent to the program's own obligations."""
        with self._sending:
            self._obligations.apply(command)

    def close(self, seconds: float = END_SECONDS) -> None:
        """Have the helper leave, and wait for its end. A second call does nothing.

        Args:
            seconds: how long to wait. A helper that takes longer goes on leaving, and is ended if it does not get
                there.
        """
        if not self._owner.is_here or self._closing.is_set():
            return
        self._closing.set()
        with self._sending:
            self._process.write({"leave": True})
            self._process.close_input()
        self.memory.valid_until = 0.0
        if self._has_ended_within(seconds):
            self._clean_up()
            return
        thread = threading.Thread(target=self._end, daemon=True, name="silo ending")
        _ending[thread] = self._plan.workstation_id
        try:
            thread.start()
        except RuntimeError:
            # Where the interpreter ends, and makes no threads any more, the helper leaves by itself.
            del _ending[thread]

    def _has_ended_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _end(self) -> None:
        """End a helper that may not leave by itself."""
        try:
            if not self._has_ended_within(END_SECONDS):
                self._process.kill()
                self._process.wait()
            self._clean_up()
        finally:
            del _ending[threading.current_thread()]

    def _clean_up(self) -> None:
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(left(END_SECONDS))
        self._process.close_pipes()
        self.memory.valid_until = 0.0
        with suppress(OSError):
            self.memory.path.unlink()
        self._errors.close()

    def _follow(self) -> None:
        """Read the messages of one helper after the other until `close`."""
        first, pause = True, RESTART_SECONDS
        while True:
            started = self._read_one()
            if self._closing.is_set():
                return
            # No helper renews the lease any more.
            self.memory.valid_until = 0.0
            code = self._process.wait()
            # A first helper that sent nothing will not do so the next time. Later, memory may just be short.
            final = first and not started
            self._on_message({"died": code, "why": self._errors.last, "final": final})
            first = False
            pause = RESTART_SECONDS if started else min(2 * pause, LONGEST_RESTART_SECONDS)
            if final or not self._restart(pause):
                return

    def _read_one(self) -> bool:
        """Read the messages of one helper until it ends; return whether there were any."""
        started = False
        for line in self._process.lines():
            try:
                message = dict(json.loads(line))
            except (ValueError, TypeError):
                # The helper was killed while it wrote, or something else in its interpreter has written.
                logger.warning(
                    "the helper wrote a line that is no message: %s", line.decode(errors="replace")
                )
                continue
            started = True
            self._on_message(message)
            with self._caught_up:
                self._read += 1
                self._confirmed = max(self._confirmed, message.get("confirmed", 0))
                self._caught_up.notify_all()
        return started

    def _restart(self, pause: float) -> bool:
        """Start another helper after a pause; return False if this is closed meanwhile."""
        while not self._closing.wait(pause):
            with self._sending:
                if self._closing.is_set():
                    return False
                try:
                    self._renew_memory()
                except StateError as error:
                    logger.warning("%s", error)
                    continue
                # Messages that the dead helper counted and did not write never come.
                self.memory.message_count = self._read
                plan = dataclasses.replace(
                    self._plan,
                    memory=str(self.memory.path),
                    last_event_id=self._position(),
                    obligations=self._obligations.as_command(),
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
        if self._new_memory is not None and not self.memory.is_there:
            new = self._new_memory()
            new.touched = self.memory.touched
            self.memory = new


class _Errors:
    """The standard error of helpers, kept as long as the link; discarded if no file can be made."""

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
