"""An attempt to log in by OpenID Connect, kept in the browser that makes it: strangers cost no row of the database.

The cookie is signed, and only this browser has it: so an answer of the provider is worth something only where it was
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
_SALT: Final = "board_app.openid"
# For typing a password at the provider, with a second factor.
LASTS_SECONDS: Final = 600
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
        kept = [begun.state, begun.nonce, begun.verifier, self.next[:NEXT_MAX]]
        response.set_cookie(
            COOKIE,
            signing.dumps(kept, salt=_SALT),
            max_age=LASTS_SECONDS,
            path=settings.SESSION_COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            # Sent with the redirect from the provider, which is another site.
            samesite="Lax",
        )


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
    response.delete_cookie(COOKIE, path=settings.SESSION_COOKIE_PATH, samesite="Lax")
