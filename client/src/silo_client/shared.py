"""24 bytes that a program and its helper both see: read and written without waiting for anybody.

Each value has one writer and is eight aligned bytes, which processors copy whole. The helper counts what it has told
before it says to be sure of anything, and `valid` reads the two in the opposite order.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

_SECONDS = struct.Struct("=d")
_COUNT = struct.Struct("=Q")
_SURE_UNTIL, _TOLD, _TOUCHED = 0, 8, 16
_SIZE = 24


class Shared:
    """The memory, in a file that only its owner can open.

    Args:
        path: of the file, where another process has made it; without it one is made.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        if path is None:
            descriptor, name = tempfile.mkstemp(prefix="silo-")
            os.write(descriptor, bytes(_SIZE))
            self.path = Path(name)
        else:
            self.path = Path(path)
            descriptor = os.open(self.path, os.O_RDWR)
        try:
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    @property
    def sure_until(self) -> float:
        """Until when, by `clock.now`, the workstation is certainly connected. The helper writes it."""
        return float(_SECONDS.unpack_from(self._map, _SURE_UNTIL)[0])

    @sure_until.setter
    def sure_until(self, moment: float) -> None:
        _SECONDS.pack_into(self._map, _SURE_UNTIL, moment)

    @property
    def told(self) -> int:
        """How many messages the helper has for its parent, those included that are still on their way."""
        return int(_COUNT.unpack_from(self._map, _TOLD)[0])

    @told.setter
    def told(self, count: int) -> None:
        _COUNT.pack_into(self._map, _TOLD, count)

    @property
    def touched(self) -> float:
        """When, by `clock.now`, somebody last touched the workstation; 0 if nobody says so. The parent writes it."""
        return float(_SECONDS.unpack_from(self._map, _TOUCHED)[0])

    @touched.setter
    def touched(self, moment: float) -> None:
        _SECONDS.pack_into(self._map, _TOUCHED, moment)

    def remove(self) -> None:
        """Remove the file. The memory stays, where the system can do that (Windows cannot, and keeps the file)."""
        with suppress(OSError):
            self.path.unlink()
