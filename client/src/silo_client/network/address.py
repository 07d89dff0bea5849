"""What names a server and who speaks to it: an address and a token."""

from __future__ import annotations

import re

import httpx

from silo_client.common.visible import is_visible
from silo_client.errors import ConfigurationError


def check_url(url: str) -> str:
    """Return the address of a server without a slash at its end.

    Raises:
        ConfigurationError: if it is none.
    """
    try:
        parsed = httpx.URL(url)
        parsed.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        parsed = httpx.URL()
    if (
        parsed.scheme not in {"http", "https"}
        or not parsed.host
        or re.search(r"[\s%]", parsed.host)
        or not is_visible(url)
        or not 0 < (parsed.port or 1) < 65536
    ):
        raise ConfigurationError(
            f"{url!r} is not the address of a server, such as https://silo.example.com"
        )
    if parsed.query or parsed.fragment:
        raise ConfigurationError(f"The address of a server has no ? and no # in it: {url!r}")
    if parsed.userinfo:
        raise ConfigurationError("The address of a server has no user and password in it")
    return url.rstrip("/")


def check_token(token: str) -> str:
    """Return a token without white space around it. What is wrong is not repeated.

    Raises:
        ConfigurationError: if it is none.
    """
    token = token.strip()
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError("That is no token: it is one word of letters, digits, - and _")
    return token
