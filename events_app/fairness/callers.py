"""Finds the caller of a request: the user where its credentials are known, else the address.

This only decides the order in which waiting requests are served. It grants no right: each request is still
authenticated by the database.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from django.conf import settings
from django.http import parse_cookie

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Scope = Mapping[str, Any]

# How long after its last authentication a user is known by the same credentials. Streams that are open renew it with
# every heartbeat; credentials that are refused are forgotten at once.
KNOWN_SECONDS: Final = 600.0
# Of credentials, with some 300 bytes each: more than there are clients at one server.
MAX_KNOWN: Final = 50_000
# The part of an IPv6 address that one customer of a provider has.
IPV6_PREFIX: Final = 64

UNKNOWN_ADDRESS: Final = "unknown"


class KnownCredentials:
    """The credentials that this process has authenticated lately, with their users.

    It is used in the event loop only.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        # Called with credentials and user when credentials become known.
        self.listeners: list[Callable[[bytes, int], None]] = []

    def user(self, credentials: bytes | None) -> int | None:
        """Return the user of these credentials, or None if they are not known."""
        if credentials is None or credentials not in self._known:
            return None
        user_id, until = self._known[credentials]
        if until < self._clock():
            del self._known[credentials]
            return None
        return user_id

    def note(self, credentials: bytes | None, user_id: int | None) -> None:
        """Note the result of an authentication: the user of the credentials, or None if they were refused."""
        if credentials is None:
            return
        if user_id is None:
            self._known.pop(credentials, None)
            return
        is_new = self.user(credentials) != user_id
        self._known[credentials] = user_id, self._clock() + KNOWN_SECONDS
        self._known.move_to_end(credentials)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        if is_new:
            for listener in self.listeners:
                listener(credentials, user_id)

    def renew(self, credentials: bytes | None) -> None:
        """Note that known credentials were accepted once more."""
        user_id = self.user(credentials)
        if user_id is not None:
            self.note(credentials, user_id)


# Of this process.
known_credentials = KnownCredentials()


def credentials(scope: Scope) -> bytes | None:
    """Return a digest of the credentials that a request brings, or None if it brings none.

    As in authentication, the header `Authorization` counts before the cookie of a login session.
    """
    given = _headers(scope, b"authorization")
    if given:
        # However the scheme is spelled, they are the same.
        scheme, _, token = given[0].partition(b" ")
        return _digest(b"header", scheme.lower() + b" " + token)
    for cookies in _headers(scope, b"cookie"):
        key = parse_cookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
        if key:
            return _digest(b"cookie", key.encode())
    return None


def address(scope: Scope) -> str:
    """Return the address that a request comes from, for a share of it.

    Of the addresses that trusted proxies (`EVENTS_TRUSTED_PROXIES`) have noted in `X-Forwarded-For`, the last one that
    is not such a proxy's own counts. An IPv6 address stands for its network of 64 bits.
    """
    found = _source(scope)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_PREFIX), strict=False))
    return str(found or UNKNOWN_ADDRESS)


def source(scope: Scope) -> str:
    """Return the very address that a request comes from, found in the same way, for the log."""
    return str(_source(scope) or UNKNOWN_ADDRESS)


def _source(scope: Scope) -> Address | None:
    client = scope.get("client")
    found = _parsed(str(client[0])) if client else None
    if found is None:
        return None
    if _is_trusted(found):
        forwarded = b",".join(_headers(scope, b"x-forwarded-for")).decode("latin-1")
        for text in reversed(forwarded.split(",")):
            before = _parsed(text.strip())
            if before is None:
                break
            found = before
            if not _is_trusted(found):
                break
    return found


def _digest(kind: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(secret, digest_size=16, person=kind).digest()


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope.get("headers", ()) if key == name]


def _parsed(text: str) -> Address | None:
    """Return an address, which proxies may write with its port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped
    return parsed


def _is_trusted(one: Address) -> bool:
    return any(one in network for network in _networks(tuple(settings.EVENTS_TRUSTED_PROXIES)))


@cache
def _networks(names: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(name, strict=False) for name in names)
