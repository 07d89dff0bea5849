"""JSON of what goes to clients: ids as text, times to the millisecond."""

from datetime import datetime
from typing import Any

from pydantic_core import to_json


def json_text(value: Any) -> str:
    """Return a value as JSON, as Django's encoder writes it, in a fraction of its time.

    Raises:
        pydantic_core.PydanticSerializationError: it has something of a type that JSON does not know.
    """
    return to_json(_plain(value)).decode()


def _plain(value: Any) -> Any:
    """Return a value with its times as text; pydantic would write them to the microsecond."""
    kind = type(value)
    if kind is datetime:
        text: str = value.isoformat()
        if value.microsecond:
            text = f"{text[:23]}{text[26:]}"
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text
    if kind is dict:
        return {name: _plain(one) for name, one in value.items()}
    if kind is list or kind is tuple:
        return [_plain(one) for one in value]
    return value
