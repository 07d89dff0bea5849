"""24 bytes that a program and its helper both see: read and written without waiting for anybody.

Each value has one writer and is eight aligned bytes, which are copied whole. (`struct.pack_into` would not do: it
writes zeros first.) The helper counts what it has told before it says to be sure of anything, and `valid` reads the two
in the opposite order.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

_SURE_UNTIL, _TOLD, _TOUCHED = 0, 1, 2
_SIZE = 24


class Shared:
    """The memory, in a file that only its owner can open.

    Args:
        path: of the file.
        new: whether to make it, in place of what a predecessor left.

    Raises:
        OSError: it cannot be made, or is not there.
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
        """Whether another process finds it."""
        try:
            return os.path.samestat(self._stat, self.path.stat())
        except OSError:
            return False

    @property
    def sure_until(self) -> float:
        """Until when, by `clock.now`, the workstation is certainly connected. The helper writes it."""
        return self._seconds[_SURE_UNTIL]

    @sure_until.setter
    def sure_until(self, moment: float) -> None:
        self._seconds[_SURE_UNTIL] = moment

    @property
    def told(self) -> int:
        """How many messages the helper has for its parent, those included that are still on their way."""
        return self._counts[_TOLD]

    @told.setter
    def told(self, count: int) -> None:
        self._counts[_TOLD] = count

    @property
    def touched(self) -> float:
        """When, by `clock.now`, somebody last touched the workstation; 0 if nobody says so. The parent writes it."""
        return self._seconds[_TOUCHED]

    @touched.setter
    def touched(self, moment: float) -> None:
        self._seconds[_TOUCHED] = moment
