"""Formats one line for each log record: time, level, logger, message, and the record's `extra`; as text or in JSON."""

import json
import logging
import re
import time
from collections.abc import Iterator
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
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = (f"{key}={_quoted(value)}" for key, value in _extra(record))
        return " ".join((_printable(super().formatMessage(record)), *fields))

    def formatException(self, ei: Any) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


class JsonFormatter(logging.Formatter):
    """`{"time": "2026-01-31T12:00:00.123Z", "level": "INFO", "logger": "…", "message": "…", "user": "ada"}`.

    One object a line. A traceback is the member `exception`, a stack `stack`.
    """

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        # An `extra` hides nothing of that.
        line = {**head, **dict(_extra(record)), **head}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        # What cannot be seen is written as escapes, and with it all that is not ASCII.
        return text if _is_visible(text) else json.dumps(line, default=str)


def _time(record: logging.LogRecord) -> str:
    return f"{_to_the_second(int(record.created))}.{int(record.msecs):03d}Z"


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in vars(record).items() if key not in _STANDARD)


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
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if _PLAIN_VALUE.fullmatch(text):
        return text
    if _is_visible(text) and text and not set(text) & set(' "=\\'):
        return text
    return json.dumps(text)
