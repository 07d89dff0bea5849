"""Who asks, and in which role: a bearer token, or Django's login session."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from sessions_app.errors import Forbidden, NotAuthenticated
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
    """

    user: User
    role: Role
    token_id: int | None = None

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


def principal_of_request(request: HttpRequest) -> Principal:
    """Return who asks for something that changes nothing, so that no CSRF check is needed.

    Raises:
        NotAuthenticated: without valid credentials.
        Forbidden: without a role.
    """
    if "Authorization" in request.headers:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        principal = principal_of_token(token) if scheme.lower() == "bearer" else None
    else:
        principal = principal_of_login(request)
    if principal is None:
        raise NotAuthenticated("Send a valid bearer token, or log in.")
    return principal


def _role(user: User, limit: Role) -> Role:
    role = Role.of(user)
    if role is None:
        raise Forbidden("This user has no role; an administrator can give one.")
    return min(role, limit)


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
