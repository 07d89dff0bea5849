"""The last resort of a stop: what waits for a database or a thread that does not answer is left behind."""

import logging
import os
import threading
import time
from typing import Final

logger = logging.getLogger(__name__)

# For what a process does at its very end, after an orderly stop: longer than the embedded database may take to stop.
END_SECONDS: Final = 75.0


class _ExitDeadline(threading.Thread):
    """One thread that is there in time: at its very end an interpreter may refuse to start any."""

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
    """End this process so long from now, if it has not ended by then; what an earlier call said counts no more.

    Safe at any moment: what is under way in the database is a transaction, done wholly or not at all.

    Args:
        seconds: how long the stop may take.
        exit_code: the exit code of a process that was left so.
    """
    _deadline_thread.exit_after(seconds, exit_code)
