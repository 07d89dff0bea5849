"""What is measured: a build of the service, a peer or a floor. Each can do some of the measures."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load import Client, Wanted


@dataclass(frozen=True)
class Feed:
    """Streams that all get the same events.

    Attributes:
        watchers: the streams.
        port: where events are published.
        requests: one for each event.
    """

    watchers: list[Wanted]
    port: int
    requests: list[bytes]


class Absent(Exception):
    """A subject cannot be started here; the text says what is missing."""


class Subject(ABC):
    """Something that was started to be measured. A measure skips it where it returns None.

    Attributes:
        name: what the table calls it.
    """

    name: str

    @property
    @abstractmethod
    def pids(self) -> list[int]:
        """Its processes; what descends from them counts too."""

    @abstractmethod
    def close(self) -> None:
        """End its processes."""

    def settle(self) -> None:  # noqa: B027  (most have nothing to wait for)
        """Wait until what a measurement has left is over."""

    def pairs(self, clients: int) -> Client | None:
        """Return clients that acquire something and release it."""
        return None

    def alive(self) -> Client | None:
        """Return clients that say that they are still there."""
        return None

    def open_many(self, count: int) -> Sequence[Wanted] | None:
        """Return streams that each belong to one client."""
        return None

    def feed(self, watchers: int, events: int) -> Feed | None:
        """Return streams that all get the same events."""
        return None

    def deaths(self) -> "Deaths | None":
        """Return holders that can be killed, and who is told of it."""
        return None


class Deaths(ABC):
    """Holders whose deaths somebody else is told of."""

    @abstractmethod
    def die(self) -> float:
        """Make a holder, kill it, and return the seconds until another process was told."""

    @abstractmethod
    def close(self) -> None:
        """End what was started for it."""
