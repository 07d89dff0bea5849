"""What the log says of sessions that begin and end, once that is committed: one line for each event, not each row.

Levels: docs/operations.md, "The log". What the sweeper ends it logs itself.
"""

import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db import transaction

from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.ended_session import EndReason, Record
from sessions_app.models.results import Acquired, Manner

logger = logging.getLogger(__name__)

# Of more items a line says how many they are; the record has them all.
MOST_NAMED: Final = 20
_DEPARTURES: Final = {
    EndReason.DISCONNECTED: "workstation departed",
    EndReason.WORKSTATION_DELETED: "workstation deleted",
}

# Of what is not here the sweeper logs each session.
_LEAST: Final = {
    EndReason.RELEASED: logging.DEBUG,
    EndReason.FORCE_RELEASED: logging.WARNING,
    EndReason.HANDED_OFF: logging.INFO,
    **dict.fromkeys(_DEPARTURES, logging.INFO),
}


def acquired(answers: Sequence[Sequence[Acquired]]) -> None:
    """Log, at DEBUG, what requests got, when their transaction is committed."""
    if logger.isEnabledFor(logging.DEBUG):
        transaction.on_commit(partial(_acquired, answers), robust=True)


def granted(answers: Sequence[Acquired]) -> None:
    """Log what workstations got by their turn, or by a hand-off, when that is committed."""
    if logger.isEnabledFor(logging.INFO):
        transaction.on_commit(partial(_granted, answers), robust=True)


def ended(records: Sequence[Record], to: Sequence[Acquired], manner: Manner) -> None:
    """Log what ended, when that is committed.

    Args:
        records: the records of the sessions.
        to: what began in their place.
        manner: how they ended.
    """
    least = _LEAST.get(manner.reason)
    if least and (records or manner.leaving) and logger.isEnabledFor(least):
        transaction.on_commit(partial(_ended, records, to, manner), robust=True)


def away(
    workstation_ids: Collection[uuid.UUID], kept: Iterable[AbstractEditSession], grace: timedelta
) -> None:
    """Log, when that is committed, which workstations departed and keep their sessions for the grace."""
    if logger.isEnabledFor(logging.INFO):
        transaction.on_commit(partial(_away, workstation_ids, kept, grace), robust=True)


def named(record: Record) -> dict[str, Any]:
    """Return what a line says of a session that has ended."""
    return {
        "session": record.session_id,
        "user": record.username,
        "item": record.part_number,
        "workstation": record.workstation_name,
        "workstation_id": record.workstation_id,
    }


def _acquired(answers: Iterable[Iterable[Acquired]]) -> None:
    for answer in (one for some in answers for one in some):
        what = "session refreshed" if answer.existing else "session acquired"
        logger.debug(what, extra=_begun(answer.session))


def _granted(answers: Iterable[Acquired]) -> None:
    for answer in answers:
        logger.info("session granted", extra=_begun(answer.session))


def _ended(records: Sequence[Record], to: Sequence[Acquired], manner: Manner) -> None:
    match manner.reason:
        case EndReason.RELEASED:
            for record in records:
                logger.debug("session released", extra=named(record))
        case EndReason.FORCE_RELEASED if manner.ended_by:
            # Without a name it is the end of a deactivated user's, which is logged with its cause.
            for record in records:
                why = {"by": record.ended_by, "why": record.note}
                logger.warning("session force-released", extra={**named(record), **why})
        case EndReason.HANDED_OFF:
            targets = [one.session.workstation for one in to]
            for record, target in zip(records, targets, strict=True):
                extra = {"to": target.name, "to_workstation_id": target.pk}
                logger.info("session handed off", extra={**named(record), **extra})
        case EndReason.DISCONNECTED | EndReason.WORKSTATION_DELETED:
            _departed(records, manner)


def _departed(records: Iterable[Record], manner: Manner) -> None:
    """Log one line for each workstation, with what it held."""
    held: defaultdict[uuid.UUID, list[Record]] = defaultdict(list)
    for record in records:
        held[record.workstation_id].append(record)
    by = {"by": manner.ended_by} if manner.ended_by else {}
    for workstation_id in {**dict.fromkeys(manner.leaving), **held}:
        some = held.get(workstation_id, [])
        who = {"user": some[0].username, "workstation": some[0].workstation_name} if some else {}
        released = {"released": len(some), **({"items": _items(some)} if some else {})}
        extra = {"workstation_id": workstation_id, **who, **released, **by}
        logger.info(_DEPARTURES[manner.reason], extra=extra)


def _away(
    workstation_ids: Collection[uuid.UUID], kept: Iterable[AbstractEditSession], grace: timedelta
) -> None:
    counts = Counter(session.workstation_id for session in kept)
    for workstation_id in workstation_ids:
        extra = {"workstation_id": workstation_id, "kept": counts[workstation_id]}
        seconds = {"grace_seconds": grace.total_seconds()}
        logger.info("workstation away", extra={**extra, **seconds})


def _items(records: Collection[Record]) -> list[str]:
    names = list(dict.fromkeys(record.part_number for record in records))
    more = len(names) - MOST_NAMED
    return [*names[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]


def _begun(session: AbstractEditSession) -> dict[str, Any]:
    return {
        "session": session.pk,
        "user": session.user.get_username(),
        "item": session.item.part_number,
        "workstation": session.workstation.name,
        "workstation_id": session.workstation_id,
        "fencing_token": session.fencing_token,
    }
