"""What a stream begins with: the sessions of its workstation, in bounded pages.

`stream-open` carries the first page. Where there are more, `next` is where `GET /api/edit-sessions?after=` goes on.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Any

from django.db.models import Count

from events_app.database.round_trip import Query, Row, Statement, together
from events_app.presence.backend import NOTHING_HELD
from sessions_app import payloads
from sessions_app.interference import lists
from sessions_app.models import EditSession
from sessions_app.models.edit_session_queryset import EditSessionQuerySet

# Those of one `stream-open`: some 800 kB. An engineer holds tens, and a large assembly's batch has as many at most.
SESSIONS_AT_ONCE = 1_000
# Those of workstations that are read together: they are in memory together.
SESSIONS_TOGETHER = 2_000

_COUNTED = Statement(
    lambda ids: (
        EditSession.objects.filter(workstation__any=ids)
        .order_by()
        .values_list("workstation_id")
        .annotate(held=Count("pk"))
    )
)


def of_some(
    workstation_ids: Collection[uuid.UUID], ahead: Query
) -> tuple[Mapping[uuid.UUID, Mapping[str, Any]], list[Row]]:
    """Return what workstations hold, in the order in which they acquired it: each its first `SESSIONS_AT_ONCE`.

    Args:
        workstation_ids: the workstations.
        ahead: a statement that is run first, in the same round trip.

    Returns:
        For the first workstations that together hold at most `SESSIONS_TOGETHER`, and for one at least: `sessions`,
        and `next`, the fencing token of the last of them if the workstation has more, else None. Then the rows of
        `ahead`.
    """
    rows, counted = together(ahead, _COUNTED(workstation_ids))
    ids = _first_of(workstation_ids, dict(counted))
    few = {pk for pk, count in ids.items() if count <= SESSIONS_AT_ONCE}
    holding = {pk for pk in few if ids[pk]}
    sessions = list(_sessions(holding)) if holding else []
    for pk in ids.keys() - few:
        sessions += _sessions({pk})[:SESSIONS_AT_ONCE]
    met = lists.met_in_list(EditSession.objects.all(), sessions) if sessions else {}
    held = defaultdict(list)
    for session in sessions:
        held[session.workstation_id].append(session)
    shown = {
        pk: {
            "sessions": payloads.listed_json(held[pk], met, {pk}),
            "next": None if pk in few else held[pk][-1].fencing_token,
        }
        for pk in ids
        if ids[pk]
    }
    return dict.fromkeys(ids, NOTHING_HELD) | shown, rows


def _first_of(
    workstation_ids: Collection[uuid.UUID], counted: Mapping[uuid.UUID, int]
) -> dict[uuid.UUID, int]:
    """Return those that are read together, each with how many sessions it holds."""
    counts = {pk: counted.get(pk, 0) for pk in workstation_ids}
    shown = accumulate(min(count, SESSIONS_AT_ONCE) for count in counts.values())
    return {
        pk: count
        for place, ((pk, count), total) in enumerate(zip(counts.items(), shown, strict=True))
        if not place or total <= SESSIONS_TOGETHER
    }


def _sessions(ids: Collection[uuid.UUID]) -> EditSessionQuerySet:
    named = EditSession.objects.with_names().filter(workstation_id__in=ids)
    return named.order_by("fencing_token")
