"""Ends the process if its stop takes too long because the database or a thread does not answer."""

import logging
import os
import threading
import time
from typing import Final

logger = logging.getLogger(__name__)

# Time for the very end of a process, after an orderly stop: longer than the embedded database may take to stop.
END_SECONDS: Final = 75.0


class _ExitDeadline(threading.Thread):
    """One thread that is started in time: at its very end an interpreter may refuse to start any."""

    def __init__(self) -> None:
        super().__init__(name="last resort", daemon=True)
        self._changed = threading.Condition()
        self._deadline = float("inf")
        self._exit_code = 0

    def exit_after(self, seconds: float, exit_code: int) -> None:
        with self._changed:
            self._deadline = time.monotonic() + seconds
            self._exit_code = exit_code
            self._changed.notify()
            if self.ident is None:
                self.start()

    def run(self) -> None:
        with self._changed:
            while (left := self._deadline - time.monotonic()) > 0:
                self._changed.wait(left)
        logger.warning(
            "the stop took too long; exiting without waiting for the database or a request"
        )
        logging.shutdown()
        os._exit(self._exit_code)


_deadline_thread = _ExitDeadline()


def exit_after(seconds: float, exit_code: int) -> None:
    """End this process after so many seconds, if it has not ended by then; replaces an earlier deadline.

    Safe at any moment: work in the database is a transaction, done wholly or not at all.

    Args:
        seconds: how long the stop may take.
        exit_code: the exit code in that case.
    """
    _deadline_thread.exit_after(seconds, exit_code)
