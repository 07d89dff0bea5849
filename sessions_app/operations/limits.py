"""What one workstation and one user may hold: `limits` of the configuration, docs/security.md gives the reasons.

Counted under the workstation's lock, as sessions of it begin. Two workstations of one user do not wait for each other:
together they may pass the user's limit by what they ask for at one moment.
"""

from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Q, Sum, Value

from events_app.database.round_trip import Statement, rows_of
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


class _Held(NamedTuple):
    """How many sessions a workstation holds, how many its user, and the node keys of these."""

    here: int
    everywhere: int
    node_keys: int


# A row of `_Held` for a workstation and its user; none where the user holds nothing.
_HELD = Statement(
    lambda workstations, users: (
        EditSession.objects.filter(user__any=users)
        .values_list(Value(1))
        .annotate(
            here=Count("pk", filter=Q(workstation__any=workstations)),
            everywhere=Count("pk"),
            keys=Sum("node_keys", default=0),
        )
        .values_list("here", "everywhere", "keys")
    )
)


def check_sessions(workstation: Workstation, new: int, node_keys: int) -> None:
    """Check that a (locked) workstation may begin so many sessions more, and its user have so many node keys more.

    Raises:
        TooManySessions, TooManyNodeKeys: they may not.
    """
    if not new and node_keys <= 0:
        return
    here, everywhere, keys = _held(workstation)
    limits = settings.LIMITS
    if here + new > limits.sessions_per_workstation:
        what = "The edit sessions of one workstation"
        raise _over(TooManySessions, what, here, new, limits.sessions_per_workstation)
    if everywhere + new > limits.sessions_per_user:
        what = "The edit sessions of one user"
        raise _over(TooManySessions, what, everywhere, new, limits.sessions_per_user)
    _check_node_keys(keys, node_keys)


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
        _check_node_keys(_held(workstation).node_keys + keys, node_keys)


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


def _held(workstation: Workstation) -> _Held:
    rows = rows_of(_HELD([workstation.pk], [workstation.user_id]))
    return next((_Held(*row) for row in rows), _Held(0, 0, 0))


def _check_node_keys(held: int, more: int) -> None:
    limit = settings.LIMITS.node_keys_per_user
    if more > 0 and held + more > limit:
        raise _over(TooManyNodeKeys, "The node keys of one user's cones", held, more, limit)
