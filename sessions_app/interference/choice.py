"""How sessions are compared with those that they may meet, by what that costs, and their rows with names."""

import uuid
from collections.abc import Collection, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

from sessions_app.interference import compare, cones
from sessions_app.interference.compare import Compared, Meeting
from sessions_app.interference.holdings import Held, Holders, node_keys_on, others_on
from sessions_app.models.abstract_edit_session import AbstractEditSession

if TYPE_CHECKING:
    from sessions_app.models.edit_session_queryset import EditSessionQuerySet

Ids = Collection[uuid.UUID]


class How(Enum):
    """How sessions are compared, by the node keys of all on their items."""

    EVERYBODY = auto()  # with all on their items
    REACHED = auto()  # with those that the index names
    NOT = auto()  # the index alone says who meets


def how_to_compare(
    every: "EditSessionQuerySet",
    sessions: Collection[Held],
    own: int,
    holders: Holders,
) -> How:
    """Say how these sessions can be compared with those that they may meet.

    Args:
        sessions: the sessions.
        own: how many node keys they have that are not among those of the holders.
        holders: who holds how much on their items.
    """
    if own + to_compare(sessions, holders) <= compare.MAX_COMPARED:
        return How.EVERYBODY
    if sum(session.node_keys for session in sessions) > compare.MAX_LOOKED_UP_TWICE:
        return How.NOT
    # Mostly they meet only some of those on the item.
    reached: int = cones.node_keys_reached(every, sessions)
    return How.REACHED if own + reached <= compare.MAX_COMPARED else How.NOT


def to_compare(sessions: Collection[Held], holders: Holders) -> int:
    """Return how many node keys those have that these sessions may meet; see `company`."""
    if len({session.workstation_id for session in sessions}) > 1:
        return node_keys_on(holders, {session.item_id for session in sessions})
    on_items = {session.item_id: session for session in sessions}
    return sum(others_on(holders, one).node_keys for one in on_items.values())


def load_meeting(
    every: "EditSessionQuerySet",
    known: Collection[AbstractEditSession],
    *meetings: Collection[Meeting],
) -> dict[uuid.UUID, AbstractEditSession]:
    """Return all that meet, by id, with their names; those that are known have theirs."""
    named = {pk for some in meetings for one in some for pk in (one.session_id, one.other_id)}
    return load(every, known, named)


def load(
    every: "EditSessionQuerySet", known: Collection[AbstractEditSession], ids: Ids
) -> dict[uuid.UUID, AbstractEditSession]:
    loaded = {session.pk: session for session in known}
    further = set(ids) - loaded.keys()
    return loaded | (every.with_names().in_bulk(further) if further else {})


def compared_by(session: AbstractEditSession, cone: Sequence[str]) -> Compared:
    return Compared(session.pk, session.item_id, session.workstation_id, session.object_id, cone)
