"""Reads event streams for the tests' clients: own parsing, so that what they tell is what was on the wire."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """An event; `text` is its data as it came."""

    name: str
    id: str
    text: str

    @property
    def data(self) -> Any:
        return json.loads(self.text)


COMMENT = Event("comment", "", "{}")


class Parser:
    """Reads one stream."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def take(self, line: str) -> Event | None:
        """Take the next line, without its end; return the event that is complete with it, or `COMMENT`."""
        if line.startswith(":"):
            return COMMENT
        if line:
            name, _, value = line.partition(": ")
            # Long data has several lines.
            self._fields.setdefault(name, []).append(value)
            return None
        fields = {name: "\n".join(values) for name, values in self._fields.items()}
        self._fields = {}
        if not fields:
            return None
        return Event(fields.get("event", "message"), fields.get("id", ""), fields["data"])


def events(lines: Iterable[str | bytes]) -> Iterator[Event]:
    """Yield the events of a stream, and its comments."""
    parser = Parser()
    for line in lines:
        text = line.decode() if isinstance(line, bytes) else line
        if event := parser.take(text.rstrip("\n")):
            yield event
