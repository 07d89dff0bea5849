"""Checks of a server's URL and of a token."""

from __future__ import annotations

import re

import httpx

from silo_client.common.visible import is_visible
from silo_client.errors import ConfigurationError


def check_url(url: str) -> str:
    """Return the URL of a server without a slash at its end.

    Raises:
        ConfigurationError: the URL is invalid.
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
            f"The server URL {url!r} is invalid: give one such as https://silo.example.com"
        )
    if parsed.query or parsed.fragment:
        raise ConfigurationError(
            f"The server URL {url!r} has a query or a fragment: leave out ? and #"
        )
    if parsed.userinfo:
        raise ConfigurationError("The server URL has a user or a password in it: leave them out")
    return url.rstrip("/")


def check_token(token: str) -> str:
    """Return a token without white space around it. The message of an error does not repeat the token.

    Raises:
        ConfigurationError: the token is invalid.
    """
    token = token.strip()
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(
            "The token is invalid: a token is one word of letters, digits, - and _"
        )
    return token
