"""The instances (processes) of one workstation on this machine: whether others live.

Each has a numbered file in the state folder, which it keeps locked; the system frees the lock when the process dies.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from pathlib import Path

from silo_client.common.last_touch import LastTouch
from silo_client.common.shared_memory import SharedMemory
from silo_client.errors import NoWindowError
from silo_client.identity.file_lock import FileLock
from silo_client.identity.folders import state_errors, state_folder
from silo_client.identity.installation import INSTALLATION

# Far more than anybody opens.
MOST_INSTANCES = 1000


class Instance:
    """This process as one instance of a workstation, until `close`.

    Args:
        workstation_id: the workstation.
        most: how many instances there may be.

    Raises:
        NoWindowError: there are as many already.
        StateError: the state folder cannot be used.
    """

    def __init__(self, workstation_id: str, most: int = MOST_INSTANCES) -> None:
        # It names a file, whatever a server says.
        self._stem = str(uuid.UUID(workstation_id))
        self._most = most
        with state_errors():
            self._folder = state_folder()
            self._lock, self._number = self._first_free()
        # Whether its file was deleted while it lives. Others' files may have been too, and may still be missing.
        self._deleted = False
        self._renewing = threading.Lock()
        self.touched = LastTouch(self._folder / f"{self._stem}.touched")

    @property
    def sole(self) -> bool:
        """Whether certainly no other instance lives. Of two that begin at once each sees the other."""
        if self._deleted or not self._lock.is_there:
            return False
        own = self._file(self._number)
        files = self._folder.glob(f"{self._stem}.*.window")
        return all(file == own or _is_dead(file) for file in files)

    def new_memory(self) -> SharedMemory:
        """Return new memory to share with a helper, not a predecessor's, which may be in use.

        Raises:
            StateError: the state folder cannot be used: it is full, for example.
        """
        file = self._folder / f"{self._stem}.{self._number}.{uuid.uuid4().hex[:8]}.memory"
        with state_errors():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._folder.glob(f"{self._stem}.{self._number}.*.memory"):
                with suppress(OSError):
                    left.unlink()
            return SharedMemory(file, new=True)

    @property
    def files(self) -> list[Path]:
        """The files that have to be there while this instance lives."""
        return [self._lock.path, self._folder / INSTALLATION]

    def renew(self) -> None:
        """Make its file again where that, or the whole folder, was deleted, so that others see it.

        Raises:
            StateError: the state folder cannot be used.
            NoWindowError: there are as many other instances as there may be.
        """
        with self._renewing:
            if self._lock.is_there:
                return
            self._deleted = True
            with state_errors():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock, self._number = self._first_free()
            self._lock.release()
            self._lock = lock

    def close(self) -> None:
        """Free the file: this instance has ended."""
        self._lock.release()

    def _first_free(self) -> tuple[FileLock, int]:
        most = self._most
        for number in range(most):
            if lock := FileLock.take(self._file(number)):
                return lock, number
        raise NoWindowError(f"{most} windows of this workstation are open already: close one.")

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._stem}.{number}.window"


def _is_dead(file: Path) -> bool:
    lock = FileLock.take(file)
    if lock is None:
        return False
    lock.release()
    return True
