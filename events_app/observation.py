"""The outage rule: no clock ends anything for what nobody could observe.

Time-out and grace count from the later of their own start and the end of the last outage, and while every known
server is silent they stand still. Where there never was a server, they count from their own start alone.
"""

from datetime import timedelta

from django.db.models import Case, DurationField, Exists, F, Q, Value, When
from django.db.models.functions import Now

from events_app import timings
from events_app.models import Observation


def note_beat(server_dead: timedelta) -> None:
    """Record a beat of some process, and if it ends an outage, that this was its end: in one statement."""
    silent = Q(last_beat__isnull=True) | Q(last_beat__lt=_ago(server_dead))
    Observation.objects.update(
        since=Case(When(silent, then=Now()), default=F("since")), last_beat=Now()
    )


def observed_for(duration: timedelta) -> Exists:
    """Return the condition, for any query, that clients have been observed for so long without a gap.

    Args:
        duration: of the clock that would end something.
    """
    never = Q(last_beat__isnull=True)
    server_dead = timedelta(seconds=timings.configured().server_dead)
    watched = Q(last_beat__gte=_ago(server_dead), since__lt=_ago(duration))
    return Exists(Observation.objects.filter(never | watched))


def _ago(duration: timedelta) -> Now:
    ago: Now = Now() - Value(duration, DurationField())  # type: ignore[assignment]
    return ago
