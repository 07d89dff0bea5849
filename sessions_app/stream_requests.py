"""What a stream request asks for, and whether it may have it."""

import uuid

from django.http import HttpRequest

from events_app.presence_domain import StreamGrant
from sessions_app import channels
from sessions_app.authentication import Principal, principal_of_request
from sessions_app.errors import Forbidden, Invalid, NotFound
from sessions_app.models import Item, Workstation
from sessions_app.text import part_number_fault

# What fits in a request line; who wants more watches all.
MAX_ITEMS = 200


def resolve(request: HttpRequest, part_number: str = "") -> StreamGrant:
    """Say what a stream may follow.

    Args:
        request: the request, with `workstation_id`, `item` (repeatable) and `all` in its query.
        part_number: the item in the URL, or "".

    Raises:
        DomainError: with the answer for the client.
    """
    principal = principal_of_request(request)
    wanted = {part_number} if part_number else set(request.GET.getlist("item"))
    workstation = _workstation(principal, request.GET.get("workstation_id"))
    everything = _flag(request, "all")
    if not (workstation or wanted or everything):
        raise Invalid("A stream needs workstation_id, item or all=true.")
    names = {channels.user(principal.user.pk)} | {channels.item(pk) for pk in _items(wanted)}
    if everything:
        names.add(channels.ALL)
    if workstation:
        names.add(channels.workstation(workstation))
    ack = _flag(request, "ack")
    if ack and not workstation:
        raise Invalid("ack=true is for a stream with a workstation_id.")
    return StreamGrant(frozenset(names), workstation, principal.user.pk, principal.token_id, ack)


def _workstation(principal: Principal, text: str | None) -> uuid.UUID | None:
    if text is None:
        return None
    try:
        pk = uuid.UUID(text)
    except ValueError:
        raise Invalid("workstation_id is not a UUID.") from None
    workstation = Workstation.objects.filter(pk=pk).first()
    if workstation is None:
        raise NotFound("There is no such workstation; register it first.")
    if not principal.owns(workstation):
        raise Forbidden("This workstation is somebody else's.")
    return pk


def _items(part_numbers: set[str]) -> list[uuid.UUID]:
    if len(part_numbers) > MAX_ITEMS:
        raise Invalid(f"A stream follows at most {MAX_ITEMS} items; all=true follows every one.")
    for part_number in part_numbers:
        if fault := part_number_fault(part_number):
            raise Invalid(f"item: {fault}")
    return [item.pk for item in Item.objects.all_named(part_numbers).values()]


def _flag(request: HttpRequest, name: str) -> bool:
    text = request.GET.get(name, "false")
    if text not in {"true", "false"}:
        raise Invalid(f"{name} is true or false.")
    return text == "true"
