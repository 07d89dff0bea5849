"""Plain rows of edit sessions: what is read before they begin and end, without an instance of a model for each."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Final, NamedTuple

from django.contrib.auth import get_user_model

from events_app.database.round_trip import Row, Statement, rows_of
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.models.ended_session import Ending
from sessions_app.models.item import Item
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Wanted
from sessions_app.models.workstation import Workstation


class Drawn(NamedTuple):
    """A fencing token, and the time at which it was drawn: when its session begins."""

    fencing_token: int
    at: datetime


# The columns by which a place in line keeps what is wanted. A session that it gets has the defaults of the others.
KEPT_IN_LINE: Final = [one.name for one in fields(Wanted) if hasattr(PlaceInLine, one.name)]


class Beginning(NamedTuple):
    """A session that is about to begin; its item and its workstation, with its user, are locked."""

    item: Item
    workstation: Workstation
    connection_id: uuid.UUID | None
    want: Wanted

    @classmethod
    def of(cls, place: PlaceInLine) -> "Beginning":
        """Return what a place waits for."""
        kept = {column: getattr(place, column) for column in KEPT_IN_LINE}
        want = Wanted(place.item.part_number, **kept)
        return cls(place.item, place.workstation, place.connection_id, want)


class Found(NamedTuple):
    """A session that is about to end, as it is read before it is locked."""

    pk: uuid.UUID
    item_id: uuid.UUID
    context_level: str
    object_id: str
    node_keys: int
    user_id: int
    workstation_id: uuid.UUID


class EndStatements:
    """The statements that read and lock sessions which are to end, compiled at their first use.

    Args:
        waiting: those to end. Its conditions are of the session's own columns, or of a table of one row, so that their
            plan is right for any number of sessions.
    """

    def __init__(self, waiting: EditSessionQuerySet) -> None:
        self.reading: Final = Statement(
            lambda ids: waiting.filter(pk__any=ids).order_by("pk").values_list(*Found._fields)
        )
        self.locking: Final = Statement(lambda ids: waiting.filter(pk__any=ids).locking_to_end())

    def found(self, ids: Collection[uuid.UUID]) -> list[Found]:
        """Read those of these sessions that are to end."""
        return [Found(*row) for row in rows_of(self.reading(ids))]


reading_users: Final = Statement(
    lambda ids: (
        get_user_model()
        .objects.filter(pk__any=ids)
        .values_list("pk", "first_name", "last_name", "username")
    )
)
reading_workstations: Final = Statement(
    lambda ids: Workstation.objects.filter(pk__any=ids).values_list("pk", "name")
)


class Names:
    """The names that records have of the items, users and workstations of sessions.

    Args:
        items: part numbers by id.
        users: rows of id, first name, last name and account.
        workstations: rows of id and name.
    """

    def __init__(
        self, items: Mapping[uuid.UUID, str], users: Iterable[Row], workstations: Iterable[Row]
    ) -> None:
        self._items = items
        self._users = {pk: names for pk, *names in users}
        self._workstations: dict[uuid.UUID, str] = dict(workstations)

    def ending(self, row: Row) -> Ending:
        """Return a session with its names; its row is one of `locking_to_end`."""
        _, item, user, workstation, *_ = row
        names = [self._items[item], *self._users[user], self._workstations[workstation]]
        return Ending(*[*row, *names])
