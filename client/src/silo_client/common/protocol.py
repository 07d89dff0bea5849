"""The lines between the program and its helper: commands one way, messages the other, one JSON object each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Seconds in which the helper, when the program ends, gives up by name what the end of the stream has left.
LEAVING_SECONDS = 5.0
# A request that was abandoned is not carried out by the server any later.
ABANDONED_SECONDS = 60.0

Message = dict[str, Any]


@dataclass
class Plan:
    """The first line to a helper: the workstation to connect as.

    Args:
        url, token, ca_file: the server.
        workstation_id: the workstation whose stream it is.
        memory: the file of the shared memory.
        touched: the file whose time is that of the last touch of any instance.
        running: the name of this running machine.
        last_event_id: the cursor from which to go on; "" for now.
        obligations: what the program has at the server, as a command; see `Obligations`.
        files: the helper reports when one of these is deleted, so that the program makes it again.
    """

    url: str
    token: str = field(repr=False)
    workstation_id: str
    memory: str
    touched: str
    running: str = ""
    ca_file: str | None = None
    last_event_id: str = ""
    obligations: Message = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
