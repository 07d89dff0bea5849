"""Acquires, or releases, of many callers, carried out together."""

from collections.abc import Sequence

from sessions_app.models.ended_session import Record
from sessions_app.models.results import Acquired
from sessions_app.operations.acquire import acquire_set
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release, release_set

Request = Acquire | Release
Outcome = list[Acquired] | list[Record] | Exception


def carry_out(requests: Sequence[Request]) -> Sequence[Outcome]:
    """Carry out requests of one kind, each by itself.

    Args:
        requests: acquires, of which no two are for one workstation or on one item; or releases.

    Returns:
        The outcome of each, in their order: its sessions, or why it was refused.
    """
    acquires = [one for one in requests if isinstance(one, Acquire)]
    releases = [one for one in requests if isinstance(one, Release)]
    assert not (acquires and releases), "of one kind"
    return acquire_set(acquires) if acquires else release_set(releases)
