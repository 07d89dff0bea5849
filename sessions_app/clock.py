"""The database's clock went back: what lies in the future becomes now, so that no clock stands still until then.

Each clock that ends sessions then begins anew, and nothing costs more than one time-out. What is bounded here is a
transaction: each function does one, and returns whether there may be more.
"""

from django.db import transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now

from events_app.presence.outages import CLOCK_TOLERANCE
from sessions_app.models import EditSession, Workstation

# Rows of one transaction; it takes some 100 ms, and who needs one of the rows waits for it.
REPAIR_BATCH = 1000

_OF_WORKSTATIONS = ("last_seen", "departed_at", "away_since", "idle_since")
_OF_SESSIONS = ("last_heartbeat", "acquired_at")


def repair_workstations() -> bool:
    """Since when workstations are away, gone, idle or have been seen."""
    ahead = Workstation.objects.filter(_any_ahead(_OF_WORKSTATIONS)).order_by("pk")
    with transaction.atomic():
        ids = list(ahead.values_list("pk", flat=True)[:REPAIR_BATCH])
        Workstation.objects.lock(ids)
        # In one statement: what was noted at one moment stays so.
        Workstation.objects.filter(pk__in=ids).update(**_not_ahead(_OF_WORKSTATIONS))
    return len(ids) == REPAIR_BATCH


def repair_sessions() -> bool:
    """Since when sessions are held, and kept alive; who has a stream keeps its own alive by itself."""
    ahead = EditSession.objects.filter(_any_ahead(_OF_SESSIONS)).order_by("pk")
    with transaction.atomic():
        ids = list(ahead.values_list("pk", flat=True)[:REPAIR_BATCH])
        rows = EditSession.objects.filter(pk__in=ids)
        in_order = rows.order_by("pk").select_for_update(no_key=True).values("pk")
        EditSession.objects.filter(pk__in=in_order).update(**_not_ahead(_OF_SESSIONS))
    return len(ids) == REPAIR_BATCH


def _any_ahead(fields: tuple[str, ...]) -> Q:
    ahead = Q()
    for field in fields:
        ahead |= Q(**{f"{field}__gt": Now() + CLOCK_TOLERANCE})
    return ahead


def _not_ahead(fields: tuple[str, ...]) -> dict[str, Case]:
    return {
        field: Case(When(**{f"{field}__gt": Now()}, then=Now()), default=F(field))
        for field in fields
    }
