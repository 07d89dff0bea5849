"""The envelope of every error answer: `{"error": "<code>", "message": "<sentence>", ...}`, and its headers."""

import random
from typing import Any

from events_app import timings


def content(code: str, message: str, **details: Any) -> dict[str, Any]:
    """Return the body of an error answer.

    Args:
        code: the error's name, for programs.
        message: a sentence for a person.
        details: further members.
    """
    return {"error": code, "message": message, **details}


def headers(status: int, retry_after: int | None = None) -> dict[str, str]:
    """Return the headers that an error status needs: how to authenticate, or when to try again.

    Args:
        status: the HTTP status.
        retry_after: in seconds; without it 429 and 503 have a random one, so that clients which were refused at the
            same moment do not all come back at the same moment.
    """
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if retry_after is None and status in {429, 503}:
        retry_after = random.randint(*timings.RETRY_AFTER_SECONDS)  # noqa: S311
    return {} if retry_after is None else {"Retry-After": str(retry_after)}
