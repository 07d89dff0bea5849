"""A new epoch: for after a restore or a failover that lost commits."""

from typing import Final

from django.db import transaction
from django.db.models import Max

from events_app.database import sql
from events_app.log import event_log
from events_app.presence import clean_up
from sessions_app.models.edit_session import EditSession
from sessions_app.models.ended_session import EndedSession
from sessions_app.models.results import NewEpoch

TOKEN_SEQUENCE: Final = "sessions_app_fencing_token"  # noqa: S105  (no secret)

# More tokens than anything issues between a backup and its restore: at 1,000 a second, those of 49 days.
TOKEN_LEAP: Final = 2**32
# JSON's numbers are exact up to here in every client, JavaScript's among them: enough for two million leaps.
MAX_TOKEN: Final = 2**53


def begin(above: int = 0) -> NewEpoch:
    """Raise all fencing tokens above any that was issued, and make every cursor one that is reset.

    Args:
        above: the highest token that anybody outside has seen, a vault for example.

    Raises:
        ValueError: if there are no such tokens left.
    """
    with transaction.atomic():
        new = renew(above)
    # What a restored database knows of open streams is not true. Servers that live register theirs again.
    clean_up.forget_processes()
    return new


def renew(above: int = 0) -> NewEpoch:
    """Do the same in the caller's transaction, as its last act, but leave the server processes."""
    highest = Max("fencing_token")
    recorded = EndedSession.objects.aggregate(top=highest)["top"] or 0
    # Waits for every token that was drawn or read and is not answered, and holds up who would do so.
    sql.lock_table(EditSession._meta.db_table)
    active = EditSession.objects.aggregate(top=highest)["top"] or 0
    known = [above, recorded, active, sql.last_of_sequence(TOKEN_SEQUENCE)]
    floor = max(known) + TOKEN_LEAP
    if floor > MAX_TOKEN:
        raise ValueError(f"tokens above {max(known)} would not be exact in JSON")
    sql.set_sequence(TOKEN_SEQUENCE, floor)
    # An active session may be one whose end was lost, and its token one that a vault has seen surpassed.
    token = EditSession._meta.get_field("fencing_token")
    renewed = EditSession.objects.update(fencing_token=token.db_default)
    return NewEpoch(event_log.begin_epoch(), floor, renewed)
