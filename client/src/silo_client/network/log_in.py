"""A token for a user's name and password, by the server's page for logging in.

The server makes tokens in a login session only, never for a token. So this logs in as a browser does, has a token made,
and logs out. The password is in the one request that logs in, and nowhere else.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import httpx

from silo_client.errors import (
    AuthenticationError,
    ServerUnavailableError,
    refusal,
)
from silo_client.network import wrong_address
from silo_client.network.requests import CONNECT_SECONDS, headers
from silo_client.network.route import UNREACHED, Route, route_to

LOG_IN, LOG_OUT = "/board/log-in", "/board/log-out"
# The server computes a slow hash of the password, and may ask a directory.
ANSWER_SECONDS = 30.0
# Django's, by which it knows its own forms.
_FORM_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_COOKIE, _HEADER = "csrftoken", "X-CSRFToken"
# By rising power.
ROLES = ("viewer", "editor", "admin")


def token_for(
    url: str, user: str, password: str, *, ca_file: str | None, name: str, role: str, days: int
) -> str:
    """Return a new token of a user.

    Args:
        url: the server's URL, as `check_url` returns it.
        user: the user's name.
        password: the user's.
        ca_file: a PEM file of the certificates to trust; None for the usual ones.
        name: what the token is for; the user sees it on the board.
        role: the most that it allows; less, where the user's own role is lower.
        days: for how long it is valid.

    Raises:
        AuthenticationError: the server refuses name and password.
        ApiError: it makes no token.
        ServerUnavailableError: it cannot be reached, cannot serve now, or has no such page.
        ConfigurationError: the CA file or a variable of the environment is invalid.
    """
    route = route_to(url, ca_file)
    with httpx.Client(
        base_url=url,
        # Where the server is reached by HTTPS, it wants to know from which page a form comes.
        headers={"User-Agent": headers("")["User-Agent"], "Referer": f"{url}{LOG_IN}"},
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        **route.options,
    ) as browser:
        page = _Pages(browser, url, route)
        page.log_in(user, password)
        try:
            own = str(page.call("GET", "/api/me").get("role"))
            least = min(role, own, key=lambda one: ROLES.index(one) if one in ROLES else 0)
            made = page.call("POST", "/api/me/tokens", {"name": name, "role": least, "days": days})
        finally:
            page.log_out()
    return str(made["token"])


class _Pages:
    """A browser's way through the pages of a server."""

    def __init__(self, browser: httpx.Client, url: str, route: Route) -> None:
        self._browser = browser
        self._url = url
        self._route = route

    def log_in(self, user: str, password: str) -> None:
        page = self._send("GET", LOG_IN)
        form = _FORM_TOKEN.search(page.text)
        if form is None:
            wrong = wrong_address.of_answer(httpx.URL(self._url), page, "")
            missing = "has no page for logging in with a password: log in with a token"
            raise ServerUnavailableError(f"{self._url} {wrong or missing}")
        given = {"username": user, "password": password, "csrfmiddlewaretoken": form[1]}
        answer = self._send("POST", LOG_IN, data=given)
        if answer.status_code == 429:
            seconds = answer.headers.get("Retry-After", "some")
            raise ServerUnavailableError(
                f"{self._url} takes no log-in now, as too many were wrong: try again in {seconds} seconds."
            )
        if not answer.has_redirect_location:
            raise AuthenticationError(
                answer.status_code,
                "wrong_log_in",
                f"The user name or the password is wrong, or {user} has no role.",
                {},
            )

    def log_out(self) -> None:
        """End the login session. Where that fails, it ends by itself."""
        with suppress(ServerUnavailableError):
            self._send("POST", LOG_OUT)

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Call the API in the login session; return its answer."""
        answer = self._send(method, path, json=body)
        found: Any = None
        with suppress(ValueError):
            found = answer.json()
        if answer.status_code >= 300 or not isinstance(found, dict):
            raise refusal(answer.status_code, found) or ServerUnavailableError(
                f"{self._url} did not answer like a Silo server ({answer.status_code})"
            )
        return found

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        token = next((one.value for one in self._browser.cookies.jar if one.name == _COOKIE), "")
        try:
            answer = self._browser.request(method, path, headers={_HEADER: token or ""}, **more)
        except UNREACHED as error:
            wrong = wrong_address.of_error(httpx.URL(self._url), error)
            why = f"{self._url} {wrong}" if wrong else self._not_reached(error)
            raise ServerUnavailableError(why) from error
        if answer.status_code in (502, 503, 504):
            raise ServerUnavailableError(f"{self._url} cannot serve now ({answer.status_code})")
        if answer.status_code == 407:
            raise ServerUnavailableError(self._not_reached(wrong_address.PROXY_WANTS_A_LOG_IN))
        return answer

    def _not_reached(self, why: Any) -> str:
        return (
            f"{self._url} cannot be reached{self._route.through}: {str(why) or type(why).__name__}"
        )
