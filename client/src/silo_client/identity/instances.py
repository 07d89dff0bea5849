"""The windows (processes) of one workstation on this machine: whether others live, and when any was last touched.

Each has a numbered file in the user's folder, which it keeps locked; the system frees the lock when the process dies.
The time of one more file is that of the last touch.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

from platformdirs import user_state_path

from silo_client.common.shared_memory import Shared
from silo_client.errors import NoWindowError, StateError
from silo_client.identity.file_lock import FileLock
from silo_client.identity.folders import user_folder

STATE_VARIABLE = "SILO_STATE"
# Far more than anybody opens.
MOST_WINDOWS = 1000
INSTALLATION = "installation"


def state_folder() -> Path:
    """Return the folder for what outlives a process, which only its user can read; it may be named by SILO_STATE.

    Raises:
        OSError: it cannot be made, or the user has no home folder to make it in.
    """
    folder = user_folder(STATE_VARIABLE, user_state_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class Window:
    """One window of a workstation, from now until `close`.

    Args:
        workstation_id: the workstation's.
        most: how many there may be.

    Raises:
        NoWindowError: there are as many already.
        StateError: the folder for such files cannot be used.
    """

    def __init__(self, workstation_id: str, most: int = MOST_WINDOWS) -> None:
        # It names a file, whatever a server says.
        self._stem = str(uuid.UUID(workstation_id))
        try:
            self._folder = state_folder()
            self._most = most
            self._lock, self._number = self._first_free()
        except OSError as error:
            raise _unusable(error) from error
        # Whether its file was deleted while it lives. Others' files may have been too, and need not be there again.
        self._deleted = False
        self._renewing = threading.Lock()
        self.touched = Touched(self._folder / f"{self._stem}.touched")

    @property
    def sole(self) -> bool:
        """Whether no other window lives, for certain. Of two that begin at once each sees the other."""
        if self._deleted or not self._lock.is_there:
            return False
        own = self._file(self._number)
        files = self._folder.glob(f"{self._stem}.*.window")
        return all(file == own or _is_dead(file) for file in files)

    def new_memory(self) -> Shared:
        """Return memory that it shares with its helper, in a file: not a predecessor's, which may be in use.

        Raises:
            StateError: the folder for such files cannot be used: it is full, say.
        """
        file = self._folder / f"{self._stem}.{self._number}.{uuid.uuid4().hex[:8]}.memory"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._folder.glob(f"{self._stem}.{self._number}.*.memory"):
                with suppress(OSError):
                    left.unlink()
            return Shared(file, new=True)
        except OSError as error:
            raise _unusable(error) from error

    @property
    def files(self) -> list[Path]:
        """What has to be there while it lives."""
        return [self._lock.path, self._folder / INSTALLATION]

    def renew(self) -> None:
        """Make its file again where that, or the whole folder, was deleted: others see that it lives.

        Raises:
            StateError: the folder cannot be used.
            NoWindowError: others are all windows that there may be.
        """
        with self._renewing:
            if self._lock.is_there:
                return
            self._deleted = True
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock, self._number = self._first_free()
            except OSError as error:
                raise _unusable(error) from error
            self._lock.release()
            self._lock = lock

    def close(self) -> None:
        """It has ended."""
        self._lock.release()

    def _first_free(self) -> tuple[FileLock, int]:
        most = self._most
        for number in range(most):
            if lock := FileLock.take(self._file(number)):
                return lock, number
        raise NoWindowError(f"{most} windows of this workstation are open already.")

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._stem}.{number}.window"


def installation(known: str = "") -> str:
    """Return a name for this user's installation, which another machine or user has not, however alike they are.

    Args:
        known: what it is called, where its file was deleted.

    Raises:
        StateError: the folder for such files cannot be used.
    """
    try:
        folder = state_folder()
        file = folder / INSTALLATION
        if not _is_whole(file):
            # Whole before it has its name: another process may read it now.
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                new = Path(aside) / "installation"
                new.write_text(known or uuid.uuid4().hex)
                if file.exists():
                    # A full disk, say, has left it empty.
                    new.replace(file)
                else:
                    _link(new, file)
        return file.read_text()
    except OSError as error:
        raise StateError(
            f"The folder for what names this installation cannot be used ({error}):"
            f" name another one by {STATE_VARIABLE}."
        ) from error


def _is_whole(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _link(new: Path, file: Path) -> None:
    """Give a file its name, unless another one has it."""
    try:
        with suppress(FileExistsError):
            os.link(new, file)
    except (OSError, NotImplementedError):
        # A file system without links: of two first ones the last one counts.
        new.replace(file)


class Touched:
    """When somebody last touched any window of a workstation, by the system's time.

    Args:
        file: whose time it is.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def seconds_ago(self) -> float | None:
        """For how long nobody has; None if nobody ever said so."""
        try:
            return max(0.0, time.time() - self.file.stat().st_mtime)
        except OSError:
            return None

    def note(self, seconds_ago: float) -> None:
        """One window was touched so long ago."""
        known = self.seconds_ago
        if known is None or seconds_ago < known:
            moment = time.time() - seconds_ago
            with suppress(OSError):
                self.file.touch(mode=0o600)
                os.utime(self.file, (moment, moment))


def _unusable(error: OSError) -> StateError:
    return StateError(
        f"The folder for what windows know of each other cannot be used ({error}):"
        f" name another one by {STATE_VARIABLE}."
    )


def _is_dead(file: Path) -> bool:
    lock = FileLock.take(file)
    if lock is None:
        return False
    lock.release()
    return True
