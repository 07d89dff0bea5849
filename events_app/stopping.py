"""The last resort of a stop: what waits for a database that does not answer is left behind."""

import logging
import os
import threading

logger = logging.getLogger(__name__)


def leave_after(seconds: float, exit_code: int) -> None:
    """End this process so long from now, if it has not ended by then.

    Safe at any moment: what is under way in the database is a transaction, done wholly or not at all.

    Args:
        seconds: how long the orderly stop may take.
        exit_code: the exit code of a process that was left so.
    """
    timer = threading.Timer(seconds, _leave, [exit_code])
    timer.daemon = True
    timer.start()


def _leave(exit_code: int) -> None:
    logger.warning("the database does not answer; leaving without it")
    logging.shutdown()
    os._exit(exit_code)
