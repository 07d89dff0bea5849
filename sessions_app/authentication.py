"""Who asks, and in which role: a bearer token, or Django's login session."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from events_app.fairness import request_gate
from sessions_app import credentials
from sessions_app.errors import DomainError, Forbidden, NotAuthenticated
from sessions_app.logins import logged_in_users
from sessions_app.roles import Role
from sessions_app.text import text_fault
from sessions_app.wrong_credentials import refusal

NOBODY = "Send a valid bearer token, or log in."
NO_ROLE = "This user has no role; an administrator can give one."


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Args:
        user: the user.
        role: the user's role, limited by the token's; None without one.
        limit: the most that the credentials allow: the token's role; a login session is not limited.
        token_id: the token; None for a login session.
        login: the key of the login session, where it is of use; it is a secret.
    """

    user: User
    role: Role | None
    limit: Role = Role.ADMIN
    token_id: int | None = None
    login: str | None = field(default=None, repr=False)

    def may(self, role: Role) -> bool:
        """Say whether the role reaches."""
        return self.role is not None and self.role >= role

    def require(self, role: Role) -> None:
        """Check the role.

        Raises:
            Forbidden: if it does not reach.
        """
        if self.role is None:
            raise Forbidden(NO_ROLE)
        if self.role < role:
            raise Forbidden(f"This needs the role {role.group}.")

    @property
    def may_let_go(self) -> bool:
        """Whether the credentials may end what their user has.

        Credentials may end what they may begin, and a user may let go of what he has, whatever his role is by now.
        """
        return self.limit >= Role.EDITOR

    def require_letting_go(self) -> None:
        """Check that the credentials may end what their user has.

        Raises:
            Forbidden: if they are limited too much.
        """
        if not self.may_let_go:
            raise Forbidden(
                f"These credentials are limited to the role {self.limit.group}: ending anything needs credentials"
                " with the role editor."
            )

    def owns(self, thing: Any) -> bool:
        """Say whether a workstation or session is this user's, on whichever workstation."""
        return bool(thing.user_id == self.user.pk)


def principal_of_token(token: str) -> Principal | None:
    """Return who a bearer token stands for, or None if it is not valid."""
    found = credentials.of_tokens({token}).get(token)
    return _principal(found) if found else None


def known_principal(token: str) -> Principal | None:
    """Return the same where it is known without a query; None elsewhere. Requests share it: they must not change it."""
    found = credentials.known(token)
    return _shared_principal(found) if found else None


def shared_principals(tokens: Collection[str]) -> dict[str, Principal]:
    """Return who the valid ones of these bearer tokens stand for. Requests share it: they must not change it."""
    found = credentials.of_tokens(tokens)
    return {token: _shared_principal(one) for token, one in found.items()}


def _principal(found: credentials.Credential) -> Principal:
    return Principal(found.user(), _least(found.role, found.limit), found.limit, found.token_id)


@lru_cache(4096)
def _shared_principal(found: credentials.Credential) -> Principal:
    """Making an object of a model takes longer than finding it."""
    return _principal(found)


def principal_of_login(request: HttpRequest) -> Principal | None:
    """Return who is logged in, or None."""
    # A quoted cookie can hold NUL, which the database refuses to look for.
    if text_fault(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")):
        return None
    user = request.user
    if not user.is_authenticated:
        return None
    assert isinstance(user, User)
    return Principal(user, Role.of(user))


def principals_of_requests(
    requests: Sequence[HttpRequest],
) -> list[Principal | DomainError]:
    """Return who asks in each of many requests: a fixed number of queries.

    They have to change nothing, or be checked for CSRF where they come from a login session.
    A user without a role may not ask.
    """
    tokens = {request: _bearer(request) for request in requests if _has_header(request)}
    found = credentials.of_tokens({token for token in tokens.values() if token})
    logins = logged_in_users({_login_key(request) for request in requests} - {""})
    roles = Role.of_all(logins.values())

    def principal_of(request: HttpRequest) -> Principal | DomainError:
        principal = None
        token = tokens.get(request)
        if request in tokens:
            if token in found:
                principal = _principal(found[token])
        elif (user := logins.get(login := _login_key(request))) is not None:
            principal = Principal(user, roles.get(user.pk), login=login)
        if principal is None:
            return refusal(request, token) if token else NotAuthenticated(NOBODY)
        return _with_role(principal)

    return [principal_of(request) for request in requests]


def _with_role(principal: Principal) -> Principal | Forbidden:
    return principal if principal.role is not None else Forbidden(NO_ROLE)


def known_principal_of_header(value: str) -> Principal | DomainError | None:
    """Return who asks with this header `Authorization`, where that is known without a query; None elsewhere."""
    scheme, _, token = value.partition(" ")
    principal = known_principal(token) if scheme.lower() == "bearer" else None
    return _with_role(principal) if principal else None


def _has_header(request: HttpRequest) -> bool:
    """A request with a header of its own is not one of the browser's session."""
    return "Authorization" in request.headers


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.headers["Authorization"].partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _login_key(request: HttpRequest) -> str:
    """Return the key of a login session, or ""."""
    # A quoted cookie can hold NUL, which the database refuses to look for.
    key = "" if _has_header(request) else request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return "" if text_fault(key) else key


def _least(role: Role | None, limit: Role) -> Role | None:
    return None if role is None else min(role, limit)


@dataclass(frozen=True)
class Right:
    """What an operation needs of who calls it.

    Args:
        described: the same in words, for the description of the API.
        check: raises `Forbidden` where somebody has not got it.
    """

    described: str
    check: Callable[[Principal], None]

    @classmethod
    def of_role(cls, role: Role) -> "Right":
        """A role, or one above it."""
        return cls(f"Role: {role.group}.", lambda who: who.require(role))


LETTING_GO_RIGHT = Right(
    "Only the token's role counts: users may release what they hold even after losing their own role. Role: editor.",
    Principal.require_letting_go,
)
# The role that is required then depends on whether the workstation holds sessions.
KNOWN_RIGHT = Right(
    "Only the token's role is asked for here, editor where the workstation holds something. Role: viewer.",
    lambda who: None,
)
# Also for users without a role: who they are, and what their own credentials are.
KNOWN_AT_ALL_RIGHT = Right("Any valid credentials. Role: none.", lambda who: None)


def _require_login(who: Principal) -> None:
    if who.token_id is not None:
        raise Forbidden("A token cannot make another one: log in.")
    who.require(Role.VIEWER)


BY_LOGIN_RIGHT = Right(
    "Only with a login session: a bearer token is answered 403. Role: viewer.", _require_login
)


class BearerAuth(HttpBearer):
    """`Authorization: Bearer <token>`, with a right."""

    openapi_description = "A token of `POST /api/me/tokens` or `manage.py createtoken`."

    def __init__(self, right: Right) -> None:
        super().__init__()
        self.right = right

    def authenticate(self, request: HttpRequest, token: str) -> Principal | None:
        """Return who asks, or None."""
        principal = principal_of_token(token)
        _tell_gate(request, principal)
        if principal is None:
            raise refusal(request, token) if token else NotAuthenticated(NOBODY)
        self.right.check(principal)
        return principal


class LoginAuth(APIKeyCookie):
    """Django's login session, with its CSRF check on writes, with a right."""

    param_name = settings.SESSION_COOKIE_NAME
    openapi_description = (
        "The login session of the board or the admin site. Writes need the header `X-CSRFToken`."
    )

    def __init__(self, right: Right) -> None:
        super().__init__(csrf=True)
        self.right = right

    def __call__(self, request: HttpRequest) -> Principal | None:
        """Return who asks, or None. A request with a header of its own is not one of the browser's session."""
        if "Authorization" in request.headers or self.param_name not in request.COOKIES:
            return None
        principal: Principal | None = super().__call__(request)
        return principal

    def authenticate(self, request: HttpRequest, key: str | None) -> Principal | None:
        """Return who is logged in, or None."""
        principal = principal_of_login(request)
        _tell_gate(request, principal)
        if principal:
            self.right.check(principal)
        return principal


def _tell_gate(request: HttpRequest, principal: Principal | None) -> None:
    """Have a request take its turns as its user's, from now on."""
    # Only a request that a server got has a scope.
    scope = getattr(request, "scope", None)
    if scope is not None:
        request_gate.authenticated(scope, principal.user.pk if principal else None)


def _with(right: Right) -> list[BearerAuth | LoginAuth]:
    return [BearerAuth(right), LoginAuth(right)]


VIEWER, EDITOR, ADMIN = (_with(Right.of_role(role)) for role in Role)
LETTING_GO = _with(LETTING_GO_RIGHT)
KNOWN = _with(KNOWN_RIGHT)
KNOWN_AT_ALL = _with(KNOWN_AT_ALL_RIGHT)
BY_LOGIN = _with(BY_LOGIN_RIGHT)


def principal(request: HttpRequest) -> Principal:
    """Return who asks, in a view behind one of the above."""
    who = request.auth  # type: ignore[attr-defined]
    assert isinstance(who, Principal)
    return who
