"""`/api/me`: who asks, and the tokens that users make for themselves.

A token makes none: what it made would outlive it. It knows and ends itself only, so that one which is stolen ends no
others. docs/security.md gives the reasons.
"""

from datetime import timedelta
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from sessions_app.api.answers import answers
from sessions_app.api.fields import WHOLE_PAGE, PageLimit
from sessions_app.api.request_schemas import TokenIn
from sessions_app.authentication import BY_LOGIN, KNOWN_AT_ALL, Principal, principal
from sessions_app.errors import NotFound, TooManyTokens
from sessions_app.models.api_token import ApiToken, ApiTokenQuerySet
from sessions_app.operations import tokens
from sessions_app.paging import first_page
from sessions_app.payloads.me import (
    MeOut,
    NewTokenOut,
    TokensOut,
    me_json,
    new_token_json,
    token_json,
)
from sessions_app.payloads.shape import Json
from sessions_app.roles import Role

router = Router(tags=["me"])


@router.get("", auth=KNOWN_AT_ALL, response=answers(MeOut))
def me(request: HttpRequest) -> Json:
    """Tell who asks: the user, the role, and what the token is limited to and until when."""
    who = principal(request)
    token = None if who.token_id is None else _seen_by(who).first()
    return me_json(who.user, who.role, token)


@router.get("/tokens", auth=KNOWN_AT_ALL, response=answers(TokensOut))
def list_tokens(
    request: HttpRequest,
    before: Annotated[
        int | None, Field(ge=0, lt=2**63, description="`next` of the page before.")
    ] = None,
    limit: PageLimit = WHOLE_PAGE,
) -> Json:
    """List the caller's valid tokens, the latest first: with a token only that one itself."""
    own = _seen_by(principal(request)).valid()
    if before is not None:
        own = own.filter(pk__lt=before)
    page, last = first_page(own.order_by("-pk"), limit)
    return {"tokens": [token_json(one) for one in page], "next": last.pk if last else None}


@router.post("/tokens", auth=BY_LOGIN, response=answers({201: NewTokenOut}, TooManyTokens))
def make_token(request: HttpRequest, body: TokenIn) -> Status[Any]:
    """Make a bearer token for oneself, which is answered this once.

    It allows at most the caller's own role. A token cannot make one: log in.
    """
    role, lifetime = Role[body.role.upper()], timedelta(days=body.days)
    made = tokens.make(principal(request).user, body.name, role, lifetime)
    return Status(201, new_token_json(*made))


@router.delete("/tokens/{token_id}", auth=KNOWN_AT_ALL, response=answers({204: None}, NotFound))
def revoke_token(
    request: HttpRequest, token_id: Annotated[int, Field(ge=0, lt=2**63)]
) -> Status[Any]:
    """Revoke a token of one's own: with a token only that one itself.

    Every server refuses it within a second; its streams end within a heartbeat.
    """
    who = principal(request)
    if who.token_id not in {None, token_id}:
        raise NotFound("A token revokes itself only: log in to revoke another one.")
    tokens.revoke_own(who.user, token_id)
    return Status(204, None)


def _seen_by(who: Principal) -> ApiTokenQuerySet:
    """Return the tokens that these credentials may know of."""
    own = ApiToken.objects.filter(user=who.user)
    return own if who.token_id is None else own.filter(pk=who.token_id)
