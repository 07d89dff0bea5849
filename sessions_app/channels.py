"""The names of the channels, who gets what on them, and who may follow which."""

import uuid
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django_eventstream.channelmanager import ChannelManagerBase

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


class ChannelManager(ChannelManagerBase):  # type: ignore[misc]  # untyped library
    """django-eventstream's channel manager, named by `EVENTSTREAM_CHANNELMANAGER_CLASS`."""

    def get_channels_for_request(
        self, request: HttpRequest, view_kwargs: Mapping[str, Any]
    ) -> set[str]:
        """Return the channels that a stream request asks for and may follow."""
        from sessions_app.stream_requests import resolve

        return set(resolve(request, **view_kwargs).channels)

    def can_read_channel(self, user: Any, channel: str) -> bool:
        """Say whether a user, or None, may follow a channel.

        Items are open to every role; a user and a workstation only to themselves.
        """
        from sessions_app.models import Workstation
        from sessions_app.roles import Role

        if user is None or not user.is_active or Role.of(user) is None:
            return False
        kind, _, name = channel.partition(":")
        if kind == "workstation":
            return Workstation.objects.filter(pk=name, user=user).exists()
        if kind == "user":
            return name == str(user.pk)
        return kind in {"item", ALL}

    def is_channel_reliable(self, channel: str) -> bool:
        """Every event is in the log."""
        return True
