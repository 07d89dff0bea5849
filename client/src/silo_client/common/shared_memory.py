"""24 bytes that a program and its helper both see: read and written without waiting.

Each value has one writer and is eight aligned bytes, which are copied whole. (`struct.pack_into` would not do: it
writes zeros first.) The helper counts a message before it writes a later `valid_until`, and `valid` reads the two in
the opposite order.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

_SURE_UNTIL, _MESSAGES, _TOUCHED = 0, 1, 2
_SIZE = 24


class SharedMemory:
    """The memory, in a file that only its owner can open.

    Args:
        path: of the file.
        new: whether to make the file, in place of a predecessor's.

    Raises:
        OSError: the file cannot be made, or is not there.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self.path = path
        flags = os.O_RDWR | (os.O_CREAT if new else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if new:
                os.write(descriptor, bytes(_SIZE))
            self._map = mmap.mmap(descriptor, _SIZE)
            self._stat = os.fstat(descriptor)
        except (OSError, ValueError) as error:
            if new:
                with suppress(OSError):
                    path.unlink()
            # It is empty, where the disk was full when it was made.
            raise OSError(f"{path} cannot be used: {error}") from error
        finally:
            os.close(descriptor)
        self._seconds = memoryview(self._map).cast("d")
        self._counts = memoryview(self._map).cast("Q")

    @property
    def is_there(self) -> bool:
        """Whether the file is still found under its name."""
        try:
            return os.path.samestat(self._stat, self.path.stat())
        except OSError:
            return False

    @property
    def valid_until(self) -> float:
        """Until when, by `clock.now`, the lease is valid. The helper writes it."""
        return self._seconds[_SURE_UNTIL]

    @valid_until.setter
    def valid_until(self, moment: float) -> None:
        self._seconds[_SURE_UNTIL] = moment

    @property
    def message_count(self) -> int:
        """The number of messages that the helper has sent, those in the pipe included. The helper writes it."""
        return self._counts[_MESSAGES]

    @message_count.setter
    def message_count(self, count: int) -> None:
        self._counts[_MESSAGES] = count

    @property
    def touched(self) -> float:
        """When, by `clock.now`, the workstation was last touched; 0 if it never was. The program writes it."""
        return self._seconds[_TOUCHED]

    @touched.setter
    def touched(self, moment: float) -> None:
        self._seconds[_TOUCHED] = moment
