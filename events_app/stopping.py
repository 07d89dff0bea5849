"""The last resort of a stop: what waits for a database that does not answer is left behind."""

import logging
import os
import threading

logger = logging.getLogger(__name__)


_timer: threading.Timer | None = None


def leave_after(seconds: float, exit_code: int) -> None:
    """End this process so long from now, if `in_order` is not called by then.

    Safe at any moment: what is under way in the database is a transaction, done wholly or not at all.

    Args:
        seconds: how long the orderly stop may take.
        exit_code: the exit code of a process that was left so.
    """
    global _timer
    _timer = threading.Timer(seconds, _leave, [exit_code])
    _timer.daemon = True
    _timer.start()


def in_order() -> None:
    """The stop went in order: what else the process does at its end may take its time."""
    if _timer is not None:
        _timer.cancel()


def _leave(exit_code: int) -> None:
    logger.warning("the database does not answer; leaving without it")
    logging.shutdown()
    os._exit(exit_code)
