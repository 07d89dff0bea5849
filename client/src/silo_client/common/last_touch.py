"""When somebody last touched any instance of a workstation: the time of a file that all of them see."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


class LastTouch:
    """The last touch, by the system's time.

    Args:
        file: the file whose time it is.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def seconds_ago(self) -> float | None:
        """The seconds since the last touch; None if there was none."""
        try:
            return max(0.0, time.time() - self.file.stat().st_mtime)
        except OSError:
            return None

    def note(self, seconds_ago: float) -> None:
        """Note that an instance was touched so long ago."""
        known = self.seconds_ago
        if known is None or seconds_ago < known:
            moment = time.time() - seconds_ago
            with suppress(OSError):
                self.file.touch(mode=0o600)
                os.utime(self.file, (moment, moment))
