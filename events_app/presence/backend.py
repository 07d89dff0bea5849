"""What `events_app` asks of the domain, which it otherwise knows nothing about."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

Key = uuid.UUID

# What a stream without a key begins with, as `PresenceBackend.snapshot` says it.
NOTHING_HELD: Final[Mapping[str, Any]] = {"sessions": [], "next": None}


@dataclass(frozen=True)
class StreamGrant:
    """The domain's leave to open one stream.

    Args:
        channels: what the stream follows.
        key: whose presence it keeps alive; None for a stream that only watches.
        shown: whose things it begins with: those of `key`, or of another key that it only watches.
        user_id: the primary key of the user it was granted to.
        token_id: the token it was granted for; None for a login session.
        login: the key of the login session it was granted for, which is a secret; None for a token.
        ack: whether the client acknowledges every heartbeat, so that its silence is a departure.
        last_event_id: where the client wants to go on; "" for now.
        machine: the running machine of the client, by its word; "" where it says nothing.
    """

    channels: frozenset[str]
    key: Key | None
    user_id: int
    token_id: int | None = None
    login: str | None = field(default=None, repr=False)
    ack: bool = False
    last_event_id: str = ""
    machine: str = ""
    shown: Key | None = None


@dataclass(frozen=True)
class StreamRequest:
    """A request for a stream.

    Args:
        http: the request.
        kwargs: from its URL.
        size: bytes of its body.
        scope: as the server gave it.
    """

    http: HttpRequest
    kwargs: Mapping[str, str]
    size: int = 0
    scope: Mapping[str, Any] = field(default_factory=dict)


class StreamRefused(Exception):
    """The domain refuses a stream, or a sign of life.

    Args:
        status: the HTTP status.
        code: the error's name for programs.
        message: the error as a sentence for a person.
        details: further members of the answer.
    """

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True)
class AliveRequest:
    """A request by which a client says that it is there.

    Args:
        http: the request.
        key: whose presence it is about, by its word.
        connection_id: the stream whose heartbeat it acknowledges; None for all of the key.
        said: what it says besides, for the domain.
        noted: whether it has been acknowledged already, so that only what it says is left to be done.
    """

    http: HttpRequest
    key: Key
    connection_id: uuid.UUID | None = None
    said: Any = None
    noted: bool = False


class Outcome(Enum):
    """What has become of a sign of life that is neither done nor refused.

    Args:
        IGNORED: it counts for nothing, and is answered as if it did.
        LOCKED: somebody else has the lock of its key at this moment; nothing was done.
        SLOW: it needs more than a moment; nothing was done.
        NOTIFIES: its client is here; what it says besides takes more than a moment, and is left.
    """

    IGNORED = "ignored"
    LOCKED = "locked"
    SLOW = "slow"
    NOTIFIES = "notifies"


class PresenceBackend(ABC):
    """The domain, named by the setting `EVENTS_PRESENCE_BACKEND`. All methods are synchronous.

    Those that write are called inside a transaction, in the order lock, displaced, arrived, departed. `departed` and
    `server_died` may raise `events_app.database.lock_retry.NeedsLocks`.
    """

    @abstractmethod
    def resolve(self, requests: Sequence[StreamRequest]) -> Sequence[StreamGrant | StreamRefused]:
        """Say for each of the requests what its stream may follow, or why it may not."""

    @abstractmethod
    def users(self, requests: Sequence[HttpRequest]) -> Sequence[int | StreamRefused]:
        """Return the user's primary key for each of the requests, by its headers, or why there is none."""

    @abstractmethod
    def alive_request(
        self, http: HttpRequest, kwargs: Mapping[str, str], body: bytes
    ) -> AliveRequest | None:
        """Return what a request says, or None if it is no well-formed sign of life. Asks no database.

        Args:
            http: the request.
            kwargs: from its URL.
            body: its body.
        """

    @abstractmethod
    def alive(
        self, requests: Sequence[AliveRequest], *, quick: bool
    ) -> Sequence[StreamRefused | Outcome | None]:
        """Note that the clients are there whose requests these are: in one transaction of its own.

        Args:
            signs: the requests, in the order in which they came.
            quick: leave out what takes more than a moment.

        Returns:
            For each: None if it is done, what has become of it else, or why it is refused.
        """

    @abstractmethod
    def lock(self, keys: Collection[Key], also: Collection[Key] = ()) -> set[Key]:
        """Lock the rows behind the keys in the one order of locks; return those of `keys` that exist.

        `also` are others that a former attempt has found to be `NeedsLocks`.
        """

    @abstractmethod
    def displaced(self, claims: Collection[tuple[Key, str]]) -> set[tuple[Key, str]]:
        """Return those of these locked keys, each with a machine that claims it, which are another machine's now."""

    @abstractmethod
    def displacement(self) -> StreamRefused:
        """Return what a displaced stream is answered."""

    @abstractmethod
    def arrived(self, keys: Collection[Key]) -> None:
        """A connection of each key is committed with this transaction."""

    @abstractmethod
    def departed(self, keys: Collection[Key], gone: Collection[Key], process_id: uuid.UUID) -> bool:
        """The latest connection of each of `keys` ended by the client's doing, as that process saw.

        `gone` are those of them that have no connection left, on any process.

        Returns:
            Whether more ends with that than this transaction ended: `time_passes` ends it, and is due at once.
        """

    @abstractmethod
    def server_stopped(self, gone: Collection[Key]) -> None:
        """`gone` lost their last connection because their server was stopped, which is no departure."""

    @abstractmethod
    def server_died(
        self, gone: Collection[Key], process_id: uuid.UUID, last_beat: datetime
    ) -> None:
        """`gone` lost their last connection with that process, which died after `last_beat`.

        Who departed after that beat, as another process saw, is gone for good; the others may come back.
        """

    @abstractmethod
    def time_passes(self) -> bool:
        """End what the passing of time ends, a batch of it; called every few seconds, outside of a transaction.

        Called at once where a departure has left something to end.

        Returns:
            Whether there may be more.
        """

    @abstractmethod
    def clock_went_back(self) -> bool:
        """The database's clock went back: what the domain has noted and lies in the future becomes now, a batch of it.

        Called outside of a transaction.

        Returns:
            Whether there is more.
        """

    @abstractmethod
    def snapshot(self, keys: Collection[Key]) -> Mapping[Key, Mapping[str, Any]]:
        """Return what each key holds, as members of `stream-open`: of as many of the keys as are read together.

        That is at least one, and however many there are, and whatever they hold, not more than is bounded.
        """

    @abstractmethod
    def touch(self, keys: Collection[Key]) -> None:
        """The heartbeat of all these keys, in one statement."""

    @abstractmethod
    def withdrawn(self, grants: Collection[StreamGrant]) -> set[StreamGrant]:
        """Return those of the grants that would be refused now."""


@cache
def backend() -> PresenceBackend:
    """Return the configured domain."""
    instance = import_string(settings.EVENTS_PRESENCE_BACKEND)()
    assert isinstance(instance, PresenceBackend)
    return instance
