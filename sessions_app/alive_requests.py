"""Alive requests: reads what each of many says, and checks whether its caller may say it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError
from ninja.utils import check_csrf
from pydantic import ValidationError

from events_app.presence.backend import AliveRequest, Outcome
from sessions_app import operations
from sessions_app.api.request_schemas import AliveIn
from sessions_app.authentication import Principal, principals_of_requests
from sessions_app.errors import DomainError, Forbidden
from sessions_app.operations.alive import AliveReport


def read(http: HttpRequest, kwargs: Mapping[str, str], body: bytes) -> AliveRequest | None:
    """Return what a request says, or None if it is not well formed: the API says then what is wrong with it.

    Args:
        http: the request.
        kwargs: `workstation_id`, from its URL.
        body: its body.
    """
    try:
        workstation_id = uuid.UUID(kwargs["workstation_id"])
        said = AliveIn.model_validate_json(body or b"{}")
    except (ValueError, ValidationError):
        return None
    return AliveRequest(http, workstation_id, said.connection_id, said.idle_seconds)


def note_all(
    requests: Sequence[AliveRequest], *, quick: bool
) -> Sequence[DomainError | Outcome | None]:
    """Note that the clients of these requests are there, by a fixed number of queries.

    Args:
        requests: they, in the order in which they came.
        quick: leave out what takes more than a moment.

    Returns:
        For each: None if it is done, what has become of it else, or why it is refused.
    """
    principals = principals_of_requests([request.http for request in requests])
    judged = [_judged(*one) for one in zip(requests, principals, strict=True)]
    good = [one for one in judged if isinstance(one, AliveReport)]
    verdicts = iter(operations.alive.all_alive(good, quick=quick) if good else ())
    return [next(verdicts) if isinstance(one, AliveReport) else one for one in judged]


def _judged(request: AliveRequest, principal: Principal | DomainError) -> AliveReport | DomainError:
    if isinstance(principal, DomainError):
        return principal
    if principal.login is not None and _is_forged(request.http):
        return Forbidden("With a login session a write needs X-CSRFToken.")
    idle = None if request.said is None else timedelta(seconds=request.said)
    return AliveReport(
        principal.user.pk,
        request.key,
        request.connection_id,
        idle,
        noted=request.noted,
        counts=principal.may_let_go,
    )


def _is_forged(http: HttpRequest) -> bool:
    try:
        return check_csrf(http) is not None
    except (BadRequest, MultiPartParserError):
        # A form, in which its token is looked for.
        return True
