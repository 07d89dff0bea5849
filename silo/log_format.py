"""Formats one line for each log record: time, level, logger, message, and the record's `extra` as key=value."""

import json
import logging
import re
import time
from functools import lru_cache
from typing import Any

from sessions_app.text import REFUSED

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_HIDDEN = re.compile(f"[{REFUSED}]")
# Most texts are plain, which is seen at once: of ASCII, and as the value of a field without a space, `"`, `=` and `\`.
_PLAIN = re.compile(r"[ -~]*")
_PLAIN_VALUE = re.compile(r"[!#-<>-\[\]-~]+")


class FieldsFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO sessions_app.sweeper auto-released stale session user=ada item="DIN 912"`.

    Only the first line of a record begins at the margin, so no logged text can pose as another record.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return f"{_to_the_second(int(record.created))}.{int(record.msecs):03d}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = (
            f"{key}={_quoted(value)}" for key, value in vars(record).items() if key not in _STANDARD
        )
        return " ".join((_printable(super().formatMessage(record)), *fields))

    def formatException(self, ei: Any) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


@lru_cache(maxsize=2)
def _to_the_second(at: int) -> str:
    """Return a time in UTC, which many records have in common."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _printable(text: str) -> str:
    if _is_visible(text):
        return text
    return "".join(c if _is_visible(c) else ascii(c)[1:-1] for c in text)


def _is_visible(text: str) -> bool:
    """Return whether a text has no invisible character, and none that changes the direction of the following text."""
    # Python calls some printable that take no room: fillers, selectors of variants.
    return bool(_PLAIN.fullmatch(text)) or (text.isprintable() and not _HIDDEN.search(text))


def _indented(text: str) -> str:
    return "\n".join(f"    {_printable(line)}" for line in text.splitlines())


def _quoted(value: object) -> str:
    """Quote a value that could be taken for another field or another line."""
    text = str(value)
    if _PLAIN_VALUE.fullmatch(text):
        return text
    if _is_visible(text) and text and not set(text) & set(' "=\\'):
        return text
    return json.dumps(text)
