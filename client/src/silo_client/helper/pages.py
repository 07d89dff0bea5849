"""Lists that come in pages, as the helper reads them."""

from __future__ import annotations

from typing import Any

import httpx

from silo_client.network.requests import PAGE
from silo_client.network.route import UNREACHED

ANSWER_SECONDS = 5.0


async def read_on(
    http: httpx.AsyncClient, path: str, member: str, first: dict[str, Any], **filters: str
) -> None:
    """Add to a list the pages that follow, as far as the server gives them.

    Args:
        http: the server.
        path: the list's path.
        member: the list's name in an answer.
        first: the first page, with the list and the cursor of the next page as `next`: null or missing in the last
            one. Each page is added to it, so the pages that were read are there whenever this is cancelled.
        filters: parameters of the requests.
    """
    while first.get("next") is not None:
        params = {**filters, "after": first["next"], "limit": PAGE}
        try:
            answer = await http.get(path, params=params, timeout=ANSWER_SECONDS)
        except UNREACHED:
            return
        page = list_of(answer, member) if answer.status_code == 200 else None
        if page is None:
            return
        first[member] += page
        first["next"] = body_of(answer).get("next")


def body_of(answer: httpx.Response | None) -> dict[str, Any]:
    """Return the object that an answer is; an empty one where it is none, so not of a Silo server."""
    try:
        body = answer.json() if answer is not None else None
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def list_of(answer: httpx.Response | None, member: str) -> list[dict[str, Any]] | None:
    """Return a list of an answer, or None where it has none."""
    members = body_of(answer).get(member)
    return members if isinstance(members, list) else None
