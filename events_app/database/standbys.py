"""Whether as many standbys as expected acknowledge the database's commits."""

import logging
from typing import Final

from events_app.database import sql

logger = logging.getLogger(__name__)

UNSEEN: Final = (
    "the database's user may not see the standbys: grant it pg_read_all_stats, as an administrator"
)


class StandbyWatch:
    """The standbys that acknowledge commits, as one process has last seen them.

    A missing one does not keep work from being done: the others acknowledge. Where none is left that has to, no commit
    is acknowledged, which `WriteCheck` finds.

    Args:
        expected: how many there should be; with 0 nothing is asked.
    """

    def __init__(self, expected: int = 0) -> None:
        self.expected = expected
        # How many are missing, and what is to be said of it; 0 and "" as long as none is known to be.
        self.missing = 0
        # How many were there at the last look.
        self.found = 0
        self.warning = ""

    def look(self) -> None:
        """Ask the database, and log where something has changed.

        Raises:
            django.db.Error: it cannot be asked.
        """
        if not self.expected:
            return
        self.found, visible = sql.standbys()
        found = self.found
        self.missing = max(0, self.expected - found)
        warning = _text(found, self.expected, visible)
        if warning == self.warning:
            return
        self.warning = warning
        facts = {"expected": self.expected, "found": found}
        if warning:
            logger.warning("standbys are missing", extra={**facts, "error": self.warning})
        else:
            logger.info("all standbys are there", extra=facts)


def _text(found: int, expected: int, visible: bool) -> str:
    if found >= expected:
        return ""
    if not visible:
        return UNSEEN
    return (
        f"{found} of {expected} standbys of PostgreSQL acknowledge commits: bring the missing one"
        " back before the next machine fails"
    )
