"""What a browser keeps for log-ins by OpenID Connect: the attempt that it makes, and whether somebody has logged out.

So strangers cost no row of the database.

The attempt is signed, and only this browser has it: so an answer of the provider is worth something only where it was
asked for, and nobody is logged in as somebody else by a link.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import constant_time_compare

from board_app.openid.provider import Begun

COOKIE: Final = "silo_openid"
LOGGED_OUT_COOKIE: Final = "silo_openid_logged_out"
_LOGGED_OUT: Final = "1"
_SALT: Final = "board_app.openid"
# For typing a password at the provider, with a second factor.
LASTS_SECONDS: Final = 600
# Longer than log-ins at providers last.
LOGGED_OUT_SECONDS: Final = 366 * 24 * 3600
# A browser refuses cookies over 4 kB.
NEXT_MAX: Final = 1500


@dataclass(frozen=True)
class Attempt:
    """What is kept of it.

    Args:
        begun: what the provider's answer is compared with.
        next: the address that the user wanted to see.
    """

    begun: Begun
    next: str

    def keep(self, response: HttpResponseBase) -> None:
        """Have the browser keep it."""
        begun = self.begun
        # One that is cut would be another address.
        following = self.next if len(self.next) <= NEXT_MAX else ""
        kept = [begun.state, begun.nonce, begun.verifier, following]
        _set(response, COOKIE, signing.dumps(kept, salt=_SALT), LASTS_SECONDS)


def of(request: HttpRequest) -> Attempt | None:
    """Return the attempt that a request answers; None where this browser has not begun it, or too long ago."""
    try:
        kept: list[Any] = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=LASTS_SECONDS
        )
    except signing.BadSignature:
        return None
    state, nonce, verifier, following = kept
    if not constant_time_compare(state, request.GET.get("state", "")):
        return None
    return Attempt(Begun("", state, nonce, verifier), following)


def forget(response: HttpResponseBase) -> None:
    """Have the browser forget its attempt."""
    _delete(response, COOKIE)


def remember_log_out(request: HttpRequest, response: HttpResponseBase) -> None:
    """Have the browser keep that somebody has logged out, where the request did so: a link of another page does not.

    The log-in at the provider lasts longer; without this, whoever comes next to the computer would be logged in as the
    one before by a press of the button.

    Args:
        request: one to log out.
        response: the answer to it.
    """
    if request.method == "POST" and settings.ACCOUNTS.openid_issuer:
        _set(response, LOGGED_OUT_COOKIE, _LOGGED_OUT, LOGGED_OUT_SECONDS)


def logged_out_before(request: HttpRequest) -> bool:
    """Say whether somebody has logged out in this browser, and nobody has logged in by the provider since."""
    return request.COOKIES.get(LOGGED_OUT_COOKIE) == _LOGGED_OUT


def forget_log_out(response: HttpResponseBase) -> None:
    """Have the browser keep that somebody has logged in."""
    _delete(response, LOGGED_OUT_COOKIE)


def _set(response: HttpResponseBase, name: str, value: str, max_age: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        # Sent with the redirect from the provider, which is another site.
        samesite="Lax",
    )


def _delete(response: HttpResponseBase, name: str) -> None:
    response.delete_cookie(name, path=settings.SESSION_COOKIE_PATH, samesite="Lax")
