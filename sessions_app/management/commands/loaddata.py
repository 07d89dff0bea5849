"""`manage.py loaddata`: Django's own, after which no fencing token, place or event id is given out a second time."""

from typing import Any, Final

from django.contrib.auth.models import Group
from django.core.management.base import CommandError
from django.core.management.commands.loaddata import Command as LoadData
from django.db import DatabaseError
from django.db.models import Max

from events_app.database import sql
from events_app.models import Connection, EventLog, LogEntry, ServerProcess
from events_app.presence import clean_up
from sessions_app import migrating, operations
from sessions_app.models import EditSession, EndedSession, PlaceInLine
from sessions_app.roles import Role

PLACE_SEQUENCE: Final = "sessions_app_place_number"
# A dump with one of these is of a database that went on after it: it gave out tokens and event ids that are not in it.
HISTORY: Final = {
    Connection,
    EditSession,
    EndedSession,
    EventLog,
    LogEntry,
    PlaceInLine,
    ServerProcess,
}


class Command(LoadData):
    def handle(self, *fixture_labels: Any, **options: Any) -> None:
        try:
            super().handle(*fixture_labels, **options)
        except DatabaseError as error:
            raise CommandError(f"Nothing was loaded. {_first_line(error)}") from error
        if self.models & HISTORY:
            # In a transaction of its own: rows of server processes are never locked after the log.
            clean_up.forget_processes()

    def loaddata(self, fixture_labels: Any) -> None:
        """Load, and begin a new epoch, in one transaction."""
        self.models: set[Any] = set()
        # The dump has the roles by its own ids. Those that nobody has in this database yet are in its way.
        roles = [role.group for role in Role]
        Group.objects.filter(name__in=roles, user=None, permissions=None).delete()
        super().loaddata(fixture_labels)
        migrating.create_roles(self.using)
        if self.models & HISTORY:
            _pass_loaded_places()
            new = operations.epoch.renew()
            if self.verbosity:
                self.stdout.write(
                    f"Epoch {new.epoch}: every fencing token is above {new.tokens_above}."
                )


def _pass_loaded_places() -> None:
    """Have the numbers of places in line go on above those that were loaded."""
    last = PlaceInLine.objects.aggregate(last=Max("number"))["last"] or 0
    if last > sql.last_of_sequence(PLACE_SEQUENCE):
        sql.set_sequence(PLACE_SEQUENCE, last)


def _first_line(error: DatabaseError) -> str:
    return str(error).strip().splitlines()[0]
