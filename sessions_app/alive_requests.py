"""Signs of life (`alive`): what each of many requests says, and whether it may."""

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
from sessions_app.operations.signs_of_life import Sign


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
    signs: Sequence[AliveRequest], *, quick: bool
) -> Sequence[DomainError | Outcome | None]:
    """Note that the clients are there whose requests these are: a fixed number of queries.

    Args:
        signs: the requests, in the order in which they came.
        quick: leave out what takes more than a moment.

    Returns:
        For each: None if it is done, what has become of it else, or why it is refused.
    """
    principals = principals_of_requests([sign.http for sign in signs])
    judged = [_judged(*one) for one in zip(signs, principals, strict=True)]
    good = [one for one in judged if isinstance(one, Sign)]
    verdicts = iter(operations.signs_of_life.all_alive(good, quick=quick) if good else ())
    return [next(verdicts) if isinstance(one, Sign) else one for one in judged]


def _judged(sign: AliveRequest, principal: Principal | DomainError) -> Sign | DomainError:
    if isinstance(principal, DomainError):
        return principal
    if principal.login is not None and _is_forged(sign.http):
        return Forbidden("With a login session a write needs X-CSRFToken.")
    idle = None if sign.said is None else timedelta(seconds=sign.said)
    return Sign(
        principal.user.pk,
        sign.key,
        sign.connection_id,
        idle,
        noted=sign.noted,
        counts=principal.may_let_go,
    )


def _is_forged(http: HttpRequest) -> bool:
    try:
        return check_csrf(http) is not None
    except (BadRequest, MultiPartParserError):
        # A form, in which its token is looked for.
        return True
