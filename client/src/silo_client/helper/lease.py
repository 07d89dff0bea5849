"""The lease: until when the server has certainly not lost this connection. docs/client.md says why that is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Of the time for which the server promises to give nothing away; the rest is for clocks that differ.
SAFE_SHARE = 0.8
NEVER = float("-inf")


@dataclass(frozen=True)
class Timings:
    """The timings of a `stream-open`, in seconds."""

    heartbeat: float
    keepalive: float
    acknowledge: float
    grace: float
    safe: float
    timeout: float

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Timings:
        """Return the `timings` of a `stream-open`."""
        return cls(
            heartbeat=float(payload["heartbeat_seconds"]),
            keepalive=float(payload["keepalive_seconds"]),
            acknowledge=float(payload["acknowledge_seconds"]),
            grace=float(payload["grace_seconds"]),
            safe=float(payload["safe_seconds"]),
            timeout=float(payload["timeout_seconds"]),
        )

    @property
    def limit(self) -> float:
        """The seconds for which a proof of the connection keeps the lease valid."""
        return SAFE_SHARE * self.safe


class Lease:
    """The latest moments, by `clock.now`, at which the server certainly had the connection and had sent a heartbeat."""

    def __init__(self) -> None:
        self.connected = NEVER
        self._heartbeat_at = NEVER
        # Since when at the latest the server waits for an acknowledgement; None while it has it.
        self._unacknowledged: float | None = None
        self._timings: Timings | None = None

    def opened(self, sent: float, timings: Timings) -> None:
        """Note a stream whose request was sent at that moment. It begins with a heartbeat."""
        self._timings = timings
        self.connected = max(self.connected, sent)
        self._heartbeat_at = max(self._heartbeat_at, sent)

    def stamped(self, moment: float) -> None:
        """Note a line, which proves that the server had the connection at that moment."""
        self.connected = max(self.connected, moment)

    def heartbeat(self, moment: float) -> None:
        """Note a heartbeat, which was committed after the one before it, and after that moment or shortly before."""
        self._heartbeat_at = max(self._heartbeat_at, moment)
        if self._unacknowledged is None:
            self._unacknowledged = moment

    def acknowledged(self, sent: float) -> None:
        """Note that the server took an acknowledgement that was sent at that moment."""
        self._unacknowledged = None
        # Without a grace it proves nothing about the stream's own connection, which the server's kernel may be about to
        # give up.
        if self._timings is not None and self._timings.grace:
            self.connected = max(self.connected, sent)

    def ended(self) -> None:
        """Note that no stream is open: without a grace the lease ends."""
        if self._timings is not None and not self._timings.grace:
            self.connected = NEVER

    @property
    def valid_until(self) -> float:
        """Until when the lease is valid; long ago before the first stream."""
        timings = self._timings
        if timings is None:
            return NEVER
        valid_until = min(
            self.connected + timings.limit, self._heartbeat_at + SAFE_SHARE * timings.timeout
        )
        if self._unacknowledged is not None:
            # A workstation that does not acknowledge departs, whatever the lines say.
            patience = SAFE_SHARE * (timings.acknowledge + timings.grace)
            valid_until = min(valid_until, self._unacknowledged + patience)
        return valid_until
