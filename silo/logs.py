"""Logging: Django's setting `LOGGING`, and the ids that a line has of the request that it is about.

docs/operations.md, "The log", says what is logged at which level.
"""

import logging
import os
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase

HEADER: Final = "X-Request-ID"
# Others are not taken over: a line of the log stays short, and a header needs no quoting.
_GOOD_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What the addresses of the API call these ids, and what lines call them.
_IN_PATH: Final = {"workstation_id": "workstation_id", "session_id": "session"}
_ID_CHARACTERS: Final = 36

# With `DEBUG` the libraries stay at INFO: theirs would be a line for each statement and task.
_OURS: Final = ("silo", "sessions_app", "events_app", "django_embedded_postgres")
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_request: ContextVar[tuple[HttpRequest, str] | None] = ContextVar("request", default=None)


class RequestIdMiddleware:
    """Gives each request an id: the one that a proxy or a client sends, if it is short and plain, else a new one.

    The answer names it in the same header, and so does each line that is logged meanwhile.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _GOOD_ID.fullmatch(given) else os.urandom(8).hex()
        before = _request.set((request, request_id))
        try:
            response = self._get_response(request)
        finally:
            _request.reset(before)
        response.headers[HEADER] = request_id
        return response


class IdsFilter(logging.Filter):
    """Adds to a record the id of the request that is answered, and the ids in its address, where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        if (current := _request.get()) is not None:
            request, record.request_id = current
            match = request.resolver_match
            for in_path, name in _IN_PATH.items():
                value = match.kwargs.get(in_path) if match else None
                if value is not None and not hasattr(record, name):
                    setattr(record, name, str(value)[:_ID_CHARACTERS])
        return True


def configuration(form: str, level: str) -> dict[str, Any]:
    """Return Django's `LOGGING`.

    Args:
        form: `text` or `json`.
        level: the least that is logged; of libraries at least INFO.
    """

    def at_least(least: str) -> str:
        return max(level, least, key=_LEVELS.index)

    formatter = {"text": "FieldsFormatter", "json": "JsonFormatter"}[form]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"silo.log_format.{formatter}"}},
        "filters": {"ids": {"()": "silo.logs.IdsFilter"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["ids"],
            }
        },
        "root": {"handlers": ["stderr"], "level": at_least("INFO")},
        "loggers": {
            **{name: {"level": level} for name in _OURS},
            "django": {"handlers": [], "level": at_least("INFO"), "propagate": True},
            "django.server": {"handlers": [], "level": at_least("INFO"), "propagate": True},
            # It logs every stream's listener at INFO.
            "django_eventstream": {"level": at_least("WARNING")},
            # Every refused request would write a line: the caller gets the error, and the proxy's log has it.
            "django.request": {"level": "ERROR"},
            # Any client can send a foreign Host header; it is answered with 400.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "daphne": {"level": at_least("WARNING")},
        },
    }
