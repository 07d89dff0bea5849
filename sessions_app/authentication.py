"""Who asks, and in which role: a bearer token, or Django's login session."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from sessions_app.errors import DomainError, Forbidden, NotAuthenticated
from sessions_app.logins import logged_in_users
from sessions_app.models import ApiToken
from sessions_app.roles import Role
from sessions_app.text import text_fault


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Args:
        user: the user.
        role: the user's role, limited by the token's.
        token_id: the token; None for a login session.
        login: the key of the login session, where it is of use; it is a secret.
    """

    user: User
    role: Role
    token_id: int | None = None
    login: str | None = field(default=None, repr=False)

    def require(self, role: Role) -> None:
        """Check the role.

        Raises:
            Forbidden: if it does not reach.
        """
        if self.role < role:
            raise Forbidden(f"This needs the role {role.group}.")

    def owns(self, thing: Any) -> bool:
        """Say whether a workstation or session is this user's, on whichever workstation."""
        return bool(thing.user_id == self.user.pk)


def principal_of_token(token: str) -> Principal | None:
    """Return who a bearer token stands for, or None if it is not valid."""
    row = ApiToken.objects.authenticate(token)
    if row is None:
        return None
    return Principal(row.user, _role(row.user, limit=Role[row.role.upper()]), row.pk)


def principal_of_login(request: HttpRequest) -> Principal | None:
    """Return who is logged in, or None."""
    # A quoted cookie can hold NUL, which the database refuses to look for.
    if text_fault(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")):
        return None
    user = request.user
    if not user.is_authenticated:
        return None
    assert isinstance(user, User)
    return Principal(user, _role(user, limit=Role.ADMIN))


def principals_of_requests(
    requests: Sequence[HttpRequest],
) -> list[Principal | DomainError]:
    """Return who asks in each of many requests: a fixed number of queries.

    They have to change nothing, or be checked for CSRF where they come from a login session.
    """
    tokens = {request: _bearer(request) for request in requests if _has_header(request)}
    rows = ApiToken.objects.authenticate_all({token for token in tokens.values() if token})
    logins = logged_in_users({_login_key(request) for request in requests} - {""})
    roles = Role.of_all([*(row.user for row in rows.values()), *logins.values()])

    def principal_of(request: HttpRequest) -> Principal | DomainError:
        limit, user, token_id, login = Role.ADMIN, None, None, None
        if request in tokens:
            row = rows.get(tokens[request])
            if row is not None:
                limit, user, token_id = Role[row.role.upper()], row.user, row.pk
        else:
            login = _login_key(request)
            user = logins.get(login)
        if user is None:
            return NotAuthenticated("Send a valid bearer token, or log in.")
        role = roles.get(user.pk)
        if role is None:
            return _without_role()
        return Principal(user, min(role, limit), token_id, login)

    return [principal_of(request) for request in requests]


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


def _role(user: User, limit: Role) -> Role:
    role = Role.of(user)
    if role is None:
        raise _without_role()
    return min(role, limit)


def _without_role() -> Forbidden:
    return Forbidden("This user has no role; an administrator can give one.")


class BearerAuth(HttpBearer):
    """`Authorization: Bearer <token>`, for a role and those above it."""

    openapi_description = "A token of `manage.py createtoken`."

    def __init__(self, role: Role) -> None:
        super().__init__()
        self.role = role

    def authenticate(self, request: HttpRequest, token: str) -> Principal | None:
        """Return who asks, or None."""
        principal = principal_of_token(token)
        if principal:
            principal.require(self.role)
        return principal


class LoginAuth(APIKeyCookie):
    """Django's login session, with its CSRF check on writes, for a role and those above it."""

    param_name = settings.SESSION_COOKIE_NAME
    openapi_description = (
        "The login session of the admin site. What writes needs the header `X-CSRFToken` too."
    )

    def __init__(self, role: Role) -> None:
        super().__init__(csrf=True)
        self.role = role

    def __call__(self, request: HttpRequest) -> Principal | None:
        """Return who asks, or None. A request with a header of its own is not one of the browser's session."""
        if "Authorization" in request.headers or self.param_name not in request.COOKIES:
            return None
        principal: Principal | None = super().__call__(request)
        return principal

    def authenticate(self, request: HttpRequest, key: str | None) -> Principal | None:
        """Return who is logged in, or None."""
        principal = principal_of_login(request)
        if principal:
            principal.require(self.role)
        return principal


VIEWER = [BearerAuth(Role.VIEWER), LoginAuth(Role.VIEWER)]
EDITOR = [BearerAuth(Role.EDITOR), LoginAuth(Role.EDITOR)]
ADMIN = [BearerAuth(Role.ADMIN), LoginAuth(Role.ADMIN)]


def principal(request: HttpRequest) -> Principal:
    """Return who asks, in a view behind one of the above."""
    who = request.auth  # type: ignore[attr-defined]
    assert isinstance(who, Principal)
    return who
