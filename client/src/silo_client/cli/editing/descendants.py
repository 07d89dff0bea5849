"""The processes that a command leaves behind, on Linux: `silo` is their subreaper, so they become its children."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
ENDED = frozenset("ZX")


class Descendants:
    """The processes that go on after the command that started them.

    Args:
        own: returns the process ids of children that do not belong to the command: the helper's.
    """

    def __init__(self, own: Callable[[], set[int]]) -> None:
        self.can_be_seen = False
        self.command = 0
        self._own = own
        self._before: set[int] = set()

    def watch(self) -> None:
        """Begin to see them: the command is about to start."""
        self.can_be_seen = set_subreaper(True)
        self._before = {pid for pid, _, _ in _children()} if self.can_be_seen else set()

    def living(self) -> dict[int, str]:
        """Return the names of those that run, by their process ids; reap those that have ended."""
        if not self.can_be_seen:
            return {}
        left, has_ended = self._look()
        # One that ended while the list was read may have started another one since its beginning.
        while has_ended and not left:
            left, has_ended = self._look()
        return left

    def _look(self) -> tuple[dict[int, str], bool]:
        """Return those that run, and whether one has ended; reap those that have."""
        not_left = {self.command, *self._before, *self._own()}
        left, has_ended = {}, False
        for pid, name, state in _children():
            if pid in not_left:
                continue
            if state in ENDED and _reap(pid):
                has_ended = True
            else:
                left[pid] = name
        return left, has_ended

    def signal(self, number: int) -> None:
        """Send a signal to those that run."""
        for pid in self.living():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def names(left: dict[int, str]) -> str:
    """Return processes as text: freecad (4711), gpg-agent (4712)."""
    return ", ".join(f"{name} ({pid})" for pid, name in sorted(left.items()))


def set_subreaper(wanted: bool) -> bool:
    """Make orphans of this process's children its own children, or not; return whether that is possible here."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _reap(pid: int) -> bool:
    """Reap a child; return whether it has ended. One whose first thread alone has ended still runs."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # it was reaped meanwhile
        return True


def _children() -> Iterator[tuple[int, str, str]]:
    """Yield id, name and state of each child of this process."""
    me = str(os.getpid())
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = file.read_text(errors="replace")
        except OSError:  # it has ended
            continue
        # The name stands in brackets, and may have brackets in it.
        before, _, after = stat.rpartition(")")
        state, parent = after.split()[:2]
        if parent == me:
            yield int(file.parent.name), before.partition("(")[2], state
