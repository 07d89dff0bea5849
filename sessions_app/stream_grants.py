"""Grants of streams: what a stream request asks for, and which channels its caller may follow."""

import re
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParserError
from django_eventstream.channelmanager import ChannelManagerBase
from ninja.utils import check_csrf
from pydantic import ValidationError

from events_app.http.kept import kept
from events_app.presence.backend import StreamGrant, StreamRequest
from sessions_app import channels
from sessions_app.api.request_schemas import StreamIn
from sessions_app.authentication import (
    Principal,
    known_principal_of_header,
    principals_of_requests,
)
from sessions_app.errors import DomainError, Forbidden, Invalid, InvalidJson, NotFound
from sessions_app.models import Item, Workstation
from sessions_app.models.item import no_items
from sessions_app.roles import Role
from sessions_app.text import MACHINE_MAX, part_number_fault, text_fault

T = TypeVar("T")

# What fits in a request line; a longer list comes in the body of a POST.
MAX_ITEMS = 200


class _Asked(NamedTuple):
    """What one request asks for."""

    principal: Principal
    part_numbers: frozenset[str]
    workstation_id: uuid.UUID | None
    everything: bool
    ack: bool
    last_event_id: str
    machine: str = ""


def resolve(request: HttpRequest, part_number: str = "") -> StreamGrant:
    """Say what one stream may follow.

    Args:
        request: the request, with `workstation_id`, `item` (repeatable) and `all` in its query.
        part_number: the item in the URL, or "".

    Raises:
        DomainError: with the answer for the client.
    """
    kwargs = {"part_number": part_number} if part_number else {}
    (verdict,) = resolve_all([StreamRequest(lambda: request, kwargs)])
    if isinstance(verdict, DomainError):
        raise verdict
    return verdict


def resolve_all(requests: Sequence[StreamRequest]) -> list[StreamGrant | DomainError]:
    """Say for each of many requests what its stream may follow, or why it may not: a fixed number of queries."""
    principals = principals_of_requests([request.http for request in requests])
    asked = [
        _judged(_asked, request, principal)
        for request, principal in zip(requests, principals, strict=True)
    ]
    good = [one for one in asked if isinstance(one, _Asked)]
    workstations = Workstation.objects.in_bulk(
        {one.workstation_id for one in good if one.workstation_id is not None}
    )
    items = _items({name for one in good for name in one.part_numbers})
    return [_judged(_grant, one, workstations, items) for one in asked]


def resolve_at_once(request: StreamRequest) -> StreamGrant | DomainError | None:
    """Say the same for one request without a query, where that can be; else return None.

    That is, where its token is known, it names no items, and its workstation, if it has one, will be looked at when the
    stream arrives.
    """
    scope = request.scope
    if scope["method"] != "GET" or request.kwargs:
        return None
    headers = _read(tuple(scope["headers"]))
    if headers is None:
        return None
    principal = known_principal_of_header(headers.authorization)
    if principal is None or isinstance(principal, DomainError):
        return principal
    try:
        query = _query(scope["query_string"])
        if "item" in query:
            return None
        asked = _in_query(query, frozenset(), headers.last_event_id, principal)
        asked = _checked(asked, headers.machine)
    except DomainError as error:
        return error
    except SuspiciousOperation:
        return None
    watches = asked.workstation_id is not None and not principal.may_let_go
    return None if watches else _granted(asked, {})


class _Headers(NamedTuple):
    """What is read in the headers of a request for a stream."""

    authorization: str
    last_event_id: str
    machine: str


@kept
def _read(headers: tuple[tuple[bytes, bytes], ...]) -> _Headers | None:
    """Read the headers of a request; None where one comes twice, or none has credentials."""
    given = dict(headers)
    if len(given) != len(headers) or b"authorization" not in given:
        return None
    names = b"authorization", b"last-event-id", b"silo-machine"
    return _Headers(*(given.get(name, b"").decode("latin-1") for name in names))


# A query in which nothing is encoded, as clients send it. `QueryDict` reads the same in it, in ten times as long.
_PLAIN = re.compile(rb"[a-z_]+=[\w.:-]*(?:&[a-z_]+=[\w.:-]*){0,7}+", re.ASCII)


def _query(text: bytes) -> Mapping[str, str]:
    if _PLAIN.fullmatch(text):
        given = [part.split("=") for part in text.decode().split("&")]
        names = dict(given)
        if len(names) == len(given):
            return names
    return QueryDict(text)


class ChannelManager(ChannelManagerBase):
    """django-eventstream's channel manager, named by `EVENTSTREAM_CHANNELMANAGER_CLASS`."""

    def get_channels_for_request(
        self, request: HttpRequest, view_kwargs: Mapping[str, Any]
    ) -> set[str]:
        """Return the channels that a stream request asks for and may follow."""
        return set(resolve(request, **view_kwargs).channels)

    def can_read_channel(self, user: Any, channel: str) -> bool:
        """Say whether a user, or None, may follow a channel.

        Items are open to every role; a user and a workstation only to themselves.
        """
        if user is None or not user.is_active or Role.of(user) is None:
            return False
        kind, _, name = channel.partition(":")
        if kind == "workstation":
            return Workstation.objects.filter(pk=name, user=user).exists()
        if kind == "user":
            return name == str(user.pk)
        return kind in {"item", channels.ALL}

    def is_channel_reliable(self, channel: str) -> bool:
        """Every event is in the log."""
        return True


def _judged(judge: Callable[..., T], *args: object) -> T | DomainError:
    try:
        return judge(*args)
    except DomainError as error:
        return error


def _asked(request: StreamRequest, principal: Principal | DomainError) -> _Asked:
    if isinstance(principal, DomainError):
        raise principal
    http = request.http
    try:
        if http.method == "POST":
            asked = _in_body(http, principal)
        else:
            part_number = request.kwargs.get("part_number")
            part_numbers = frozenset([part_number] if part_number else http.GET.getlist("item"))
            brought = http.headers.get("last-event-id", "")
            asked = _in_query(http.GET, part_numbers, brought, principal)
    except SuspiciousOperation as error:
        raise Invalid("The query of the request is not valid.") from error
    return _checked(asked, http.headers.get("silo-machine", ""))


def _checked(asked: _Asked, machine: str) -> _Asked:
    if not (asked.workstation_id or asked.part_numbers or asked.everything):
        raise Invalid("A stream needs workstation_id, items or all=true.")
    if asked.ack and not asked.workstation_id:
        raise Invalid("ack=true needs a workstation_id.")
    return asked._replace(machine=_machine(machine)) if machine else asked


def _in_query(
    query: Mapping[str, str],
    part_numbers: frozenset[str],
    last_event_id: str,
    principal: Principal,
) -> _Asked:
    if len(part_numbers) > MAX_ITEMS:
        raise Invalid(
            f"The URL names more than {MAX_ITEMS} items: name them in a POST to /api/events, or use all=true."
        )
    for name in part_numbers:
        if fault := part_number_fault(name):
            raise Invalid(f"item: {fault}")
    return _Asked(
        principal,
        part_numbers,
        _uuid(query.get("workstation_id")),
        _flag(query, "all"),
        _flag(query, "ack"),
        last_event_id or query.get("last_event_id", ""),
    )


def _in_body(http: HttpRequest, principal: Principal) -> _Asked:
    text = http.body
    try:
        # Looks for the token in a form too.
        forged = principal.login is not None and check_csrf(http)
    except (BadRequest, MultiPartParserError):
        raise InvalidJson("The body is not a JSON document in UTF-8.") from None
    if forged:
        raise Forbidden("With a login session a POST needs X-CSRFToken.")
    try:
        body = StreamIn.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise InvalidJson("The body is not a JSON document in UTF-8.") from None
        where = ".".join(["body", *map(str, first["loc"])])
        raise Invalid(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    return _Asked(
        principal,
        frozenset(body.items),
        body.workstation_id,
        body.all,
        body.ack,
        http.headers.get("last-event-id") or body.last_event_id,
    )


def _grant(
    asked: _Asked | DomainError,
    workstations: Mapping[uuid.UUID, Workstation],
    items: Mapping[str, uuid.UUID],
) -> StreamGrant:
    if isinstance(asked, DomainError):
        raise asked
    key = asked.workstation_id
    if key is not None:
        if key not in workstations:
            raise unknown_workstation()
        if not asked.principal.owns(workstations[key]):
            raise foreign_workstation()
    if missing := asked.part_numbers - items.keys():
        raise no_items(missing)
    return _granted(asked, items)


def unknown_workstation() -> NotFound:
    """Return the refusal for a workstation that does not exist."""
    return NotFound("There is no such workstation; register it first.")


def foreign_workstation() -> Forbidden:
    """Return the refusal for somebody else's workstation."""
    return Forbidden("Another user owns this workstation.")


def _granted(asked: _Asked, items: Mapping[str, uuid.UUID]) -> StreamGrant:
    principal, key = asked.principal, asked.workstation_id
    names = {channels.user(principal.user.pk)}
    if key is not None:
        names.add(channels.workstation(key))
    names |= {channels.item(items[name]) for name in asked.part_numbers}
    if asked.everything:
        names.add(channels.ALL)
    return StreamGrant(
        frozenset(names),
        # Credentials that may end nothing only watch: neither their stream nor its end means anything for what is held.
        key if principal.may_let_go else None,
        principal.user.pk,
        principal.token_id,
        principal.login,
        asked.ack,
        asked.last_event_id,
        asked.machine,
        shown=key,
    )


def _items(part_numbers: Collection[str]) -> dict[str, uuid.UUID]:
    """Return the items that have, or had, these part numbers, each by the number that was given."""
    return {number: item.pk for number, item in Item.objects.known(part_numbers).items()}


def _uuid(text: str | None) -> uuid.UUID | None:
    if text is None:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid("workstation_id is not a UUID.") from None


def _machine(given: str) -> str:
    machine = given.strip()
    if len(machine) > MACHINE_MAX or text_fault(machine):
        raise Invalid(f"Silo-Machine is a text of at most {MACHINE_MAX} characters.")
    return machine


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "false")
    if text not in {"true", "false"}:
        raise Invalid(f"{name} must be true or false.")
    return text == "true"
