"""The steps of the sweeper. Each is one short transaction and returns whether there is more to do."""

import logging
from datetime import timedelta

from events_app import event_log
from sessions_app.models import EditSession

logger = logging.getLogger(__name__)

# A thousand ends are a transaction of some 100 ms; an acquire of the same items waits for it.
SWEEP_BATCH = 1000
TRIM_BATCH = 5000


class Sweep:
    """One sweep: `step` until it returns false.

    Args:
        timeout: sessions without a heartbeat for longer expire.
        retention: events older than that are deleted.
    """

    def __init__(self, timeout: timedelta, retention: timedelta) -> None:
        self.expired = 0
        self._timeout = timeout
        self._retention = retention
        self._expiring = True

    def step(self) -> bool:
        """Do a little; return whether there is more."""
        if self._expiring:
            self._expiring = self._expire()
            return True
        return event_log.trim(self._retention, TRIM_BATCH)

    def _expire(self) -> bool:
        ended = EditSession.objects.expire_stale(self._timeout, SWEEP_BATCH)
        for record in ended:
            logger.info(
                "auto-released stale session",
                extra={
                    "session": record.session_id,
                    "user": record.username,
                    "item": record.part_number,
                    "workstation": record.workstation_name,
                },
            )
        self.expired += len(ended)
        # None: there was none, or another sweeper has just ended them and goes on.
        return bool(ended)

    def log_summary(self) -> None:
        """Log one line if the sweep did something."""
        if self.expired:
            logger.info("sweep", extra={"expired": self.expired})
