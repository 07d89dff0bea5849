"""How much each workstation holds on each item: what a comparison of their sessions would cost."""

import uuid
from collections.abc import Collection
from typing import NamedTuple, Protocol, TypeVar


class Held(Protocol):
    """What is known of a session, without its cone: a row of the table, or one that is about to end."""

    @property
    def pk(self) -> uuid.UUID: ...

    @property
    def item_id(self) -> uuid.UUID: ...

    @property
    def workstation_id(self) -> uuid.UUID: ...

    @property
    def object_id(self) -> str: ...

    @property
    def node_keys(self) -> int: ...


HeldRow = TypeVar("HeldRow", bound=Held)


class Holding(NamedTuple):
    """How many sessions there are, and node keys in their cones."""

    sessions: int = 0
    node_keys: int = 0


# How much each workstation holds on each item: by item, then by workstation.
Holders = dict[uuid.UUID, dict[uuid.UUID, Holding]]


def others_on(holders: Holders, session: Held) -> Holding:
    """Return how much others than a session's workstation hold on its item."""
    others = [
        holding
        for workstation, holding in holders[session.item_id].items()
        if workstation != session.workstation_id
    ]
    return Holding(sum(one.sessions for one in others), sum(one.node_keys for one in others))


def have_others(holders: Holders, session: Held) -> bool:
    """Say whether others than a session's workstation hold anything on its item; without reading all of them."""
    return any(workstation != session.workstation_id for workstation in holders[session.item_id])


def take_away(ending: Collection[Held], holders: Holders) -> None:
    """Take sessions that end out of what is held on their items."""
    for session in ending:
        on_item = holders[session.item_id]
        held = on_item.pop(session.workstation_id)
        if held.sessions > 1:
            less = Holding(held.sessions - 1, held.node_keys - session.node_keys)
            on_item[session.workstation_id] = less


def node_keys_on(holders: Holders, items: Collection[uuid.UUID]) -> int:
    """Return how many node keys the sessions on these items have."""
    return sum(holding.node_keys for item in items for holding in holders[item].values())
