"""The names of the channels, and who gets the events of an item."""

import uuid
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from sessions_app.models import EditSession

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


def audiences(
    holders: "QuerySet[EditSession]", items: Collection[uuid.UUID]
) -> dict[uuid.UUID, set[str]]:
    """Return who gets the events of each item: its watchers, and every workstation that holds a session on it.

    Args:
        holders: the sessions on the items, which the caller has locked.
        items: the items.
    """
    found = {pk: {ALL, item(pk)} for pk in items}
    for item_id, workstation_id in holders.values_list("item_id", "workstation_id"):
        found[item_id].add(workstation(workstation_id))
    return found


def audiences_of(
    holders: Mapping[uuid.UUID, Collection[uuid.UUID]], items: Collection[uuid.UUID]
) -> dict[uuid.UUID, set[str]]:
    """Return the same, where it is known which workstations hold sessions on each item."""
    return {pk: {ALL, item(pk), *map(workstation, holders.get(pk, ()))} for pk in items}
