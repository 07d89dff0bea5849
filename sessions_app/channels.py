"""The names of the channels, and who gets the events of an item."""

import uuid
from collections.abc import Collection, Mapping

ALL = "all"
WORKSTATION = "workstation:"


def item(pk: uuid.UUID) -> str:
    """What happens to one item."""
    return f"item:{pk}"


def workstation(pk: uuid.UUID) -> str:
    """What is addressed to one workstation, or concerns an item that it holds a session on."""
    return f"{WORKSTATION}{pk}"


def user(pk: int) -> str:
    """What is addressed to one user."""
    return f"user:{pk}"


def audiences_of(
    holders: Mapping[uuid.UUID, Collection[uuid.UUID]], items: Collection[uuid.UUID]
) -> dict[uuid.UUID, set[str]]:
    """Return the channels that get the events of each item: its watchers, and workstations with a session on it.

    Args:
        holders: by item, the workstations that hold sessions on it.
        items: the items.
    """
    return {pk: {ALL, item(pk), *map(workstation, holders.get(pk, ()))} for pk in items}
