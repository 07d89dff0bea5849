"""Locked files: the system frees the lock when the process dies, however it dies.

The lock belongs to the process that took it. A forked child neither keeps it nor frees it.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from silo_client.forking import Owner, close_in_child

RETRY_SECONDS = 0.02


class FileLock:
    """A file that this process has locked, until `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._owner = Owner()
        close_in_child(self, FileLock._close)

    @classmethod
    def take(cls, path: Path, seconds: float = 0.0) -> FileLock | None:
        """Lock a file, made if it is missing; return None if another process, or this one, has it locked.

        Args:
            path: the file.
            seconds: for how long to try.

        Raises:
            OSError: the file cannot be made or locked.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + seconds
            while not _lock(descriptor):
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return None
                time.sleep(RETRY_SECONDS)
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise
        return cls(path, descriptor)

    @property
    def is_there(self) -> bool:
        """Whether the file is still found under its name, so that other processes see the lock."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except (OSError, ValueError):
            return False

    def release(self) -> None:
        """Free the lock. A second call does nothing, nor does a forked child."""
        if self._owner.is_here and self._descriptor >= 0:
            # This is the last descriptor of the file: a child has closed its own.
            _unlock(self._descriptor)
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        with suppress(OSError):
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        # A child that was forked by other means may still have the descriptor.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
