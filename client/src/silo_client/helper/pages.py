"""Lists that the helper reads of a server: what an answer has, and the pages that follow it."""

from __future__ import annotations

from typing import Any

import httpx

from silo_client.api import PAGE
from silo_client.network.route import UNREACHED

ANSWER_SECONDS = 5.0


async def read_on(
    http: httpx.AsyncClient, path: str, member: str, told: dict[str, Any], **filters: str
) -> None:
    """Add to a list the pages that follow, as far as the server gives them.

    Args:
        http: the server.
        path: of the list.
        member: its name in an answer.
        told: the first page, with the list and, where it goes on, from where as `next`: null or missing in the last. It
            is changed with each page, so what has been read is there whenever this is cancelled.
        filters: parameters of the requests.
    """
    while told.get("next") is not None:
        params = {**filters, "after": told["next"], "limit": PAGE}
        try:
            answer = await http.get(path, params=params, timeout=ANSWER_SECONDS)
        except UNREACHED:
            return
        page = listed(answer, member) if answer.status_code == 200 else None
        if page is None:
            return
        told[member] += page
        told["next"] = body_of(answer).get("next")


def body_of(answer: httpx.Response | None) -> dict[str, Any]:
    """Return what an answer says; nothing where it is no object, as those of a Silo server are."""
    try:
        body = answer.json() if answer is not None else None
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def listed(answer: httpx.Response | None, member: str) -> list[dict[str, Any]] | None:
    """Return a list that a server has answered, or None."""
    members = body_of(answer).get(member)
    return members if isinstance(members, list) else None
