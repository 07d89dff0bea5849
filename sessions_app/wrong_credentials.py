"""Wrong tokens and log-ins: slowed down by address, and one line each for fail2ban. Never the secret.

In memory of each process: an attempt costs strangers no row of the database, and a restart forgets it. With several
servers somebody has so many times as many attempts.
"""

import logging
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from math import ceil
from threading import Lock
from typing import Final

from django.contrib.auth.models import User
from django.db import Error
from django.http import HttpRequest

from events_app.fairness import callers
from sessions_app.brake import MAX_KEYS, Brake
from sessions_app.errors import DomainError, NotAuthenticated, TooManyWrongTokens
from sessions_app.models.api_token import ApiToken
from sessions_app.text import name_key

logger = logging.getLogger(__name__)

# A program with a token that has expired asks a few times a minute; who guesses needs 2^256 of them anyway.
TOKENS: Final = Brake(burst=20, interval=3.0)
# One person types a password wrong some times, then it is the wrong password: 10 at once, then one a minute.
LOG_INS: Final = Brake(burst=10, interval=60.0)
# Many people may share an address, behind a router; who tries the passwords of many names from there is slowed down.
LOG_INS_OF_ADDRESS: Final = Brake(burst=50, interval=10.0)
# However many addresses there are, no more lines than these.
LINES: Final = Brake(burst=1000, interval=0.1, max_keys=1)


class _KnownPlaces:
    """Which names have logged in from which addresses: strangers at the same address do not keep these out."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = Lock()

    def add(self, place: Hashable) -> None:
        with self._lock:
            self._known[place] = None
            self._known.move_to_end(place)
            if len(self._known) > MAX_KEYS:
                self._known.popitem(last=False)

    def __contains__(self, place: Hashable) -> bool:
        return place in self._known

    def clear(self) -> None:
        with self._lock:
            self._known.clear()


KNOWN_PLACES: Final = _KnownPlaces()


def refusal(request: HttpRequest, token: str) -> DomainError:
    """Count and log a bearer token that is no good, and return what its sender is answered.

    A good one is never asked for here: however many wrong ones come from an address, it gets in.
    """
    wait = TOKENS.take(_share(request))
    if wait:
        return TooManyWrongTokens(wait)
    _log("wrong token", request, **_known_token(token))
    return NotAuthenticated("Send a valid bearer token, or log in.")


class LogIn:
    """One attempt to log in by a password.

    Args:
        request: the request.
        username: as it was typed.
    """

    def __init__(self, request: HttpRequest, username: str) -> None:
        self._request = request
        self._username = username
        self._address = _share(request)
        self._pair = (name_key(username), self._address)

    def seconds_to_wait(self) -> int:
        """Count the attempt, before the password is looked at; return 0, or for how long there may be none."""
        wait = LOG_INS.take(self._pair)
        if not wait and self._pair not in KNOWN_PLACES:
            wait = LOG_INS_OF_ADDRESS.take(self._address)
            if wait:
                LOG_INS.give_back(self._pair)
        return ceil(wait)

    def succeeded(self) -> None:
        """The password was right: no attempt of before counts any more."""
        LOG_INS.forget(self._pair)
        if self._pair not in KNOWN_PLACES:
            LOG_INS_OF_ADDRESS.give_back(self._address)
        KNOWN_PLACES.add(self._pair)
        extra = {"address": callers.source(_scope(self._request)), "user": self._username}
        logger.info("password accepted", extra=extra)

    def failed(self) -> None:
        """Log it. The name only where it is one: people type their password there, too."""
        known = User.objects.filter(username=self._username).exists()
        _log("wrong log-in", self._request, **({"user": self._username} if known else {}))


class OpenIdLogIn:
    """One attempt to log in by OpenID Connect: the provider knows the names, so only addresses are slowed down.

    Args:
        request: the request with which the provider's answer comes.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._address = _share(request)

    def seconds_to_wait(self) -> int:
        """Count the attempt, before the provider is asked; return 0, or for how long there may be none."""
        return ceil(LOG_INS_OF_ADDRESS.take(self._address))

    def not_wrong(self) -> None:
        """Do not count it: it was right, or nobody could tell."""
        LOG_INS_OF_ADDRESS.give_back(self._address)

    def succeeded(self, username: str) -> None:
        self.not_wrong()
        extra = {"address": callers.source(_scope(self._request)), "user": username}
        logger.info("log-in by OpenID Connect accepted", extra=extra)

    def refused(self, why: str, username: str) -> None:
        """Log that somebody whom the provider knows may not log in: no guess, so it does not count as a wrong one."""
        self.not_wrong()
        extra = {"address": callers.source(_scope(self._request)), "why": why, "user": username}
        logger.warning("log-in by OpenID Connect refused", extra=extra)

    def failed(self, why: str) -> None:
        """Log an answer that is not the provider's, or not to this attempt."""
        _log("wrong log-in", self._request, why=why)


def forget() -> None:
    for brake in (TOKENS, LOG_INS, LOG_INS_OF_ADDRESS, LINES, KNOWN_PLACES):
        brake.clear()


def _share(request: HttpRequest) -> str:
    """The address to which an attempt is counted: of IPv6 the network of one customer."""
    return callers.address(_scope(request))


def _log(message: str, request: HttpRequest, **fields: str) -> None:
    if not LINES.take(""):
        extra = {"address": callers.source(_scope(request)), **fields}
        logger.warning(message, extra=extra)


def _scope(request: HttpRequest) -> callers.Scope:
    scope: callers.Scope | None = getattr(request, "scope", None)
    # Django's test client and development server have none.
    return scope if scope is not None else {"client": (request.META.get("REMOTE_ADDR", ""), 0)}


def _known_token(token: str) -> dict[str, str]:
    """Which of the tokens that were good once it is: what lists show of it, and why it is good no more."""
    # The line is worth a query, not a failure.
    with suppress(Error):
        row = ApiToken.objects.once_good(token)
        if row is not None:
            return {"token": row.shown, "why": row.state}
    return {}
