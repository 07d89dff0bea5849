"""The last resort of a stop: what waits for a database or a thread that does not answer is left behind."""

import logging
import os
import threading
from typing import Final

logger = logging.getLogger(__name__)

# For what a process does at its very end, after an orderly stop: longer than the embedded database may take to stop.
END_SECONDS: Final = 75.0

_timer: threading.Timer | None = None


def leave_after(seconds: float, exit_code: int) -> None:
    """End this process so long from now, if it has not ended by then; what an earlier call said counts no more.

    Safe at any moment: what is under way in the database is a transaction, done wholly or not at all.

    Args:
        seconds: how long the stop may take.
        exit_code: the exit code of a process that was left so.
    """
    global _timer
    if _timer is not None:
        _timer.cancel()
    _timer = threading.Timer(seconds, _leave, [exit_code])
    _timer.daemon = True
    _timer.start()


def _leave(exit_code: int) -> None:
    logger.warning("the database or a request does not answer; leaving without it")
    logging.shutdown()
    os._exit(exit_code)
