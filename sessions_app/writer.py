"""The writer of a server process: acquires and releases of its clients become sets (`operations/sets.py`)."""

from collections.abc import Collection, Hashable, Sequence
from typing import Any, Final

from events_app.database import sql
from events_app.database.round_trip import plan_by_index
from events_app.database.set_queue import Bounds
from events_app.database.set_writer import SetWriter
from sessions_app.authentication import NOBODY, Principal, Right, shared_principals
from sessions_app.errors import DomainError, NotAuthenticated
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release
from sessions_app.operations.sets import carry_out
from sessions_app.steps import STEP_NODE_KEYS, STEP_SESSIONS

# The rest of a set does not wait longer for a row that somebody has locked. A request that finds it locked alone goes
# another way, where it may wait for as long as any.
LOCK_TIMEOUT: Final = "500ms"
_SESSION_WEIGHT: Final = STEP_NODE_KEYS // STEP_SESSIONS


class Permitted:
    """A request that its credentials permit.

    Args:
        request: what is asked for.
        token: the bearer token. It is looked at again when the request is carried out, which may be seconds later.
        right: what it needs for that.
    """

    __slots__ = ("about", "caller", "is_release", "request", "right", "token")

    def __init__(self, request: Acquire | Release, token: str, right: Right) -> None:
        self.request: Final = request
        self.token: Final = token
        self.right: Final = right
        self.is_release: Final = isinstance(request, Release)
        # Whose turn it waits for: a user's releases do not wait behind the same user's acquires.
        self.caller: Final[Hashable] = request.user.id, self.is_release
        # What it is for: the sessions of a release, the items and the workstation of an acquire.
        self.about: Final[Collection[Hashable]] = (
            request.session_ids
            if isinstance(request, Release)
            else {request.workstation_id, *request.keys.values()}
        )


def new_writer() -> SetWriter[Permitted, Any]:
    """Return a writer, for one event loop. Its outcomes are those of `carry_out`."""
    return SetWriter(
        _carry_out,
        name="edit-sessions",
        kind=lambda one: one.is_release,
        keys=_keys_of,
        caller=lambda one: one.caller,
        weight=_weight_of,
        # A set is as heavy as one step of other large transactions. Ten such sets may wait, one of them of one caller.
        bounds=Bounds(
            weight=STEP_NODE_KEYS,
            waiting_weight=10 * STEP_NODE_KEYS,
            caller_weight=STEP_NODE_KEYS,
        ),
        connected=settle,
    )


def settle() -> None:
    """Give a connection of the writer's its settings."""
    sql.set_for_session("lock_timeout", LOCK_TIMEOUT)
    plan_by_index()


def _keys_of(permitted: Permitted) -> Collection[Hashable]:
    """Return that on which the decision about a request depends: no other request of its set has it."""
    return () if permitted.is_release else permitted.about


def _weight_of(permitted: Permitted) -> int:
    """Return the node keys of a request, and as many for each session as keep a set to the sessions of a step."""
    request = permitted.request
    if isinstance(request, Release):
        return _SESSION_WEIGHT * len(request.session_ids)
    return sum(_SESSION_WEIGHT + len(want.dependency_cone) for want in request.wanted)


def _carry_out(some: Sequence[Permitted]) -> Sequence[Any]:
    principals = shared_principals({one.token for one in some})
    refusals = [_refusal(one, principals.get(one.token)) for one in some]
    good = [one.request for one, refusal in zip(some, refusals, strict=True) if refusal is None]
    outcomes = iter(carry_out(good) if good else ())
    return [next(outcomes) if refusal is None else refusal for refusal in refusals]


def _refusal(one: Permitted, who: Principal | None) -> DomainError | None:
    """Return why a request is not permitted any more."""
    if who is None:
        return NotAuthenticated(NOBODY)
    try:
        one.right.check(who)
    except DomainError as refusal:
        return refusal
    return None


# Of this process.
writer: Final = new_writer()
