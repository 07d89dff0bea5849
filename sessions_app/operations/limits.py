"""What one workstation and one user may hold: `limits` of the configuration, docs/security.md gives the reasons.

Counted under the workstation's lock, as sessions of it begin. Two workstations of one user do not wait for each other:
together they may pass the user's limit by what they ask for at one moment.
"""

import uuid
from collections.abc import Iterable
from typing import Final, NamedTuple

from django.conf import settings
from django.db.models import Count, Sum

from events_app.database.round_trip import Row, Statement, rows_of
from sessions_app.errors import (
    DomainError,
    TooManyNodeKeys,
    TooManyPlaces,
    TooManySessions,
    TooManyWorkstations,
)
from sessions_app.models.edit_session import EditSession
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.workstation import Workstation


class Held(NamedTuple):
    """How many sessions a workstation holds, how many its user, and the node keys of these."""

    here: int
    everywhere: int
    node_keys: int


# Of users, whose workstations' sessions are theirs.
counting: Final = Statement(
    lambda users: (
        EditSession.objects.filter(user__any=users)
        .order_by()
        .values_list("user_id", "workstation_id")
        .annotate(Count("pk"), Sum("node_keys"))
    )
)


class Counted:
    """How much users and their workstations hold.

    Args:
        rows: those of `counting`.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._by_workstation: Final[dict[uuid.UUID, int]] = {}
        self._by_user: Final[dict[int, tuple[int, int]]] = {}
        for user, workstation, count, keys in rows:
            self._by_workstation[workstation] = count
            before, keys_before = self._by_user.get(user, (0, 0))
            self._by_user[user] = before + count, keys_before + keys

    def of(self, workstation: Workstation) -> Held:
        """Return how much a workstation and its user hold; these are among those counted."""
        here = self._by_workstation.get(workstation.pk, 0)
        return Held(here, *self._by_user.get(workstation.user_id, (0, 0)))

    def add(self, workstation: Workstation, sessions: int, node_keys: int) -> None:
        """Count what begins too."""
        here, everywhere, keys = self.of(workstation)
        self._by_workstation[workstation.pk] = here + sessions
        self._by_user[workstation.user_id] = everywhere + sessions, keys + node_keys


def check_sessions(held: Held, new: int, node_keys: int) -> None:
    """Check that a (locked) workstation may begin so many sessions more, and its user have so many node keys more.

    Args:
        held: how much they hold.
        new: how many sessions more.
        node_keys: how many node keys more.

    Raises:
        TooManySessions, TooManyNodeKeys: they may not.
    """
    if not new and node_keys <= 0:
        return
    here, everywhere = held.here, held.everywhere
    limits = settings.LIMITS
    if here + new > limits.sessions_per_workstation:
        what = "The edit sessions of one workstation"
        raise _over(TooManySessions, what, here, new, limits.sessions_per_workstation)
    if everywhere + new > limits.sessions_per_user:
        what = "The edit sessions of one user"
        raise _over(TooManySessions, what, everywhere, new, limits.sessions_per_user)
    _check_node_keys(held.node_keys, node_keys)


def check_places(workstation: Workstation, new: int, node_keys: int) -> None:
    """Check that the user of a (locked) workstation may stand in so many lines more, with so many node keys more.

    Raises:
        TooManyPlaces, TooManyNodeKeys: the user may not.
    """
    if not new and node_keys <= 0:
        return
    own = PlaceInLine.objects.filter(workstation__user=workstation.user_id)
    count, keys = own.aggregate(count=Count("pk"), keys=Sum("node_keys", default=0)).values()
    if count + new > settings.LIMITS.places_per_user:
        what = "The places in line of one user"
        raise _over(TooManyPlaces, what, count, new, settings.LIMITS.places_per_user)
    if node_keys > 0:
        # A turn is not refused: what it gives is counted here.
        counted = Counted(rows_of(counting([workstation.user_id])))
        _check_node_keys(counted.of(workstation).node_keys + keys, node_keys)


def check_workstations(user_id: int) -> None:
    """Check that a user who has just got another workstation may have so many.

    Raises:
        TooManyWorkstations: the user may not.
    """
    limit = settings.LIMITS.workstations_per_user
    count = Workstation.objects.filter(user=user_id).count()
    if count > limit:
        raise _over(TooManyWorkstations, "The workstations of one user", count - 1, 1, limit)


def growth(cones: Iterable[tuple[int, int]]) -> int:
    """Return how many node keys cones have more than before; who wants fewer, or names none, asks for nothing.

    Args:
        cones: of each how many it has, and how many are wanted.
    """
    return sum(max(0, wanted - has) for has, wanted in cones)


def _over(error: type[DomainError], what: str, held: int, more: int, limit: int) -> DomainError:
    """Return the refusal, which says what is limited, how many there are, how many are asked for, and what to do."""
    return error(
        f"{what} are limited to {limit:,}: there are {held:,}, and {more:,} more are asked for."
        " Release or delete some first, or ask an administrator of the service for a higher limit.",
        limit=limit,
        held=held,
    )


def _check_node_keys(held: int, more: int) -> None:
    limit = settings.LIMITS.node_keys_per_user
    if more > 0 and held + more > limit:
        raise _over(TooManyNodeKeys, "The node keys of one user's cones", held, more, limit)
