"""Acquires and releases of many callers, carried out together."""

from collections.abc import Sequence

from events_app.database.unavailable import is_unavailable
from sessions_app.models.ended_session import EndedSession
from sessions_app.models.results import Acquired
from sessions_app.operations.acquire import acquire_set
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release, release_set

Request = Acquire | Release
Outcome = list[Acquired] | list[EndedSession] | Exception


def carry_out(requests: Sequence[Request]) -> list[Outcome]:
    """Carry out releases, then acquires, each by itself.

    Args:
        requests: no two acquires for one workstation or on one item.

    Returns:
        The outcome of each, in their order: its sessions, or why it was refused.
    """
    acquires = [one for one in requests if isinstance(one, Acquire)]
    releases = [one for one in requests if isinstance(one, Release)]
    released = iter(release_set(releases) if releases else ())
    acquired = iter(_acquired(acquires, alone=not releases) if acquires else ())
    return [next(acquired) if isinstance(one, Acquire) else next(released) for one in requests]


def _acquired(requests: Sequence[Acquire], *, alone: bool) -> Sequence[list[Acquired] | Exception]:
    """Return the outcomes of acquires.

    Args:
        requests: the acquires.
        alone: whether nothing was committed before, so that the caller may try all again.
    """
    try:
        return acquire_set(requests)
    except Exception as error:
        if alone:
            raise
        if is_unavailable(error):
            return [error] * len(requests)
        return [_acquired_one(one) for one in requests]


def _acquired_one(request: Acquire) -> list[Acquired] | Exception:
    try:
        return acquire_set([request])[0]
    except Exception as error:
        return error
