"""The notification by which an append tells the relays what it has appended, so that they need not read the log.

Its content is `<epoch> <last> <ids> <entries>`: the log's epoch, its last id before these entries, read under the log's
lock, their ids, separated by commas, and their JSON. It is empty where the entries do not fit into a notification
(`events_app.database.sql`). A relay that has delivered everything through `last` lacks nothing before these entries.
Ids of transactions that were rolled back are missing in the log for ever, so the first id alone would not show that.
"""

import json
from dataclasses import dataclass
from typing import NamedTuple


class Appended(NamedTuple):
    """One entry of a notification."""

    id: int
    channels: list[str]
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification that has entries.

    Args:
        epoch: the log's.
        last: the log's last id before the entries.
        ids: theirs, ascending.
        content: the JSON of the entries.
    """

    epoch: str
    last: int
    ids: list[int]
    content: str

    @classmethod
    def read(cls, text: str) -> "Notification | None":
        """Return what a notification's text says; None for one without entries."""
        if not text:
            return None
        epoch, last, ids, content = text.split(" ", 3)
        return cls(epoch, int(last), [int(one) for one in ids.split(",")], content)

    @property
    def entries(self) -> list[Appended]:
        """The entries, in the order of their ids."""
        return [
            Appended(one_id, one["channels"], one["type"], one["data"])
            for one_id, one in zip(self.ids, json.loads(self.content), strict=True)
        ]
