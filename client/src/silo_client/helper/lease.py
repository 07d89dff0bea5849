"""Until when the client is sure that the server has not lost it. docs/client.md of the project says why it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Of the time for which the server promises to give nothing away; the rest is for clocks that differ.
SAFE_SHARE = 0.8
NEVER = float("-inf")


@dataclass(frozen=True)
class Timings:
    """What a server says in `stream-open`, in seconds."""

    heartbeat: float
    keepalive: float
    acknowledge: float
    grace: float
    safe: float
    timeout: float

    @classmethod
    def told(cls, told: Mapping[str, Any]) -> Timings:
        """Return what `timings` of a `stream-open` says."""
        return cls(
            heartbeat=float(told["heartbeat_seconds"]),
            keepalive=float(told["keepalive_seconds"]),
            acknowledge=float(told["acknowledge_seconds"]),
            grace=float(told["grace_seconds"]),
            safe=float(told["safe_seconds"]),
            timeout=float(told["timeout_seconds"]),
        )

    @property
    def limit(self) -> float:
        """For how long after evidence the client is sure."""
        return SAFE_SHARE * self.safe


class Evidence:
    """The latest moments, by `clock.now`, at which the server certainly had the connection and had touched."""

    def __init__(self) -> None:
        self.connected = NEVER
        self._touched = NEVER
        # Since when at the latest the server waits for an acknowledgement; None while it has it.
        self._asked: float | None = None
        self._timings: Timings | None = None

    def opened(self, sent: float, timings: Timings) -> None:
        """A stream is open whose request was sent at that moment. It begins with a heartbeat."""
        self._timings = timings
        self.connected = max(self.connected, sent)
        self._touched = max(self._touched, sent)

    def stamped(self, moment: float) -> None:
        """A line proves that the server had the connection at that moment."""
        self.connected = max(self.connected, moment)

    def heartbeat(self, moment: float) -> None:
        """A heartbeat came, which was committed after the one before it, and after that moment or shortly before."""
        self._touched = max(self._touched, moment)
        if self._asked is None:
            self._asked = moment

    def acknowledged(self, sent: float) -> None:
        """The server took an acknowledgement that was sent at that moment."""
        self._asked = None
        # Without a grace it proves nothing about the stream's own connection, which the server's kernel may be about to
        # give up.
        if self._timings is not None and self._timings.grace:
            self.connected = max(self.connected, sent)

    def ended(self) -> None:
        """No stream is open: without a grace nothing is sure any more."""
        if self._timings is not None and not self._timings.grace:
            self.connected = NEVER

    @property
    def sure_until(self) -> float:
        """Until when the client is sure; long ago without any evidence."""
        timings = self._timings
        if timings is None:
            return NEVER
        sure_until = min(
            self.connected + timings.limit, self._touched + SAFE_SHARE * timings.timeout
        )
        if self._asked is not None:
            # Who does not acknowledge departs, whatever the lines say.
            patience = SAFE_SHARE * (timings.acknowledge + timings.grace)
            sure_until = min(sure_until, self._asked + patience)
        return sure_until
