"""Who asks, and bearer tokens: their shapes, each with the function that builds it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sessions_app.payloads import examples
from sessions_app.payloads.members import Earlier, FullName, UserName, user_members
from sessions_app.payloads.shape import Example, Json, Shape
from sessions_app.roles import Role

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.api_token import ApiToken

RoleName = Literal["viewer", "editor", "admin"]


class TokenOut(Shape):
    id: Annotated[int, Example(examples.TOKEN_ID)]
    prefix: Annotated[str, Example(examples.TOKEN[:13])] = Field(
        description="Its first characters, by which lists and the log name it."
    )
    name: Annotated[str, Example(examples.TOKEN_NAME)] = Field(description="What it is for.")
    role: Annotated[RoleName, Example("editor")] = Field(
        description="The most that it allows; its user's role limits it too."
    )
    created_at: Earlier
    expires_at: Annotated[datetime | None, Example(examples.EXPIRES_AT)] = Field(
        description="Until when it is valid; null for no end."
    )
    last_used_at: Annotated[datetime | None, Example(examples.LATER)] = Field(
        description="When it was last used, to a minute."
    )


def token_json(token: "ApiToken") -> Json:
    """Build `TokenOut`."""
    return {
        "id": token.pk,
        "prefix": token.shown,
        "name": token.name,
        "role": token.role,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }


class NewTokenOut(TokenOut):
    token: Annotated[str, Example(examples.TOKEN)] = Field(
        description="The token itself. It is answered this once: only its hash is kept."
    )


def new_token_json(row: "ApiToken", token: str) -> Json:
    """Build `NewTokenOut`."""
    return {**token_json(row), "token": token}


class TokensOut(Shape):
    tokens: list[TokenOut]
    next: Annotated[int | None, Example(None)] = Field(
        description="Give it as `before` for the next page; null on the last."
    )


class MeOut(Shape):
    user: UserName
    user_name: FullName
    role: Annotated[RoleName | None, Example("editor")] = Field(
        description="What these credentials may do: the user's role, limited by the token's; null without a role."
    )
    token: TokenOut | None = Field(description="The token that was sent; null with a log-in.")


def me_json(user: "User", role: Role | None, token: "ApiToken | None") -> Json:
    """Build `MeOut`."""
    return {
        **user_members(user),
        "role": role and role.group,
        "token": token and token_json(token),
    }
