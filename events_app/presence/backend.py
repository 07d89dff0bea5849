"""The interface between `events_app` and the domain. `sessions_app.presence_backend` implements it."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache, cached_property
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

from events_app.database.notified_cache import NotifiedCache
from events_app.database.round_trip import Query, Row
from events_app.database.set_writer import SetWriter

Key = uuid.UUID

# The contents of `stream-open` for a stream without a key, in the form of `PresenceBackend.snapshot`.
NOTHING_HELD: Final[Mapping[str, Any]] = {"sessions": [], "next": None}


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """The permission to open one stream.

    Args:
        channels: the channels that the stream follows.
        key: the presence key that it keeps connected; None for a stream that only watches.
        shown: the key whose sessions it begins with: `key`, or another one that it only watches.
        user_id: the primary key of the user it was granted to.
        token_id: the token it was granted for; None for a login session.
        login: the key of the login session it was granted for, which is a secret; None for a token.
        ack: whether the client acknowledges every heartbeat, so that its silence is a departure.
        last_event_id: the cursor from which the client resumes; "" for the head of the log.
        machine: the running machine that the client names; "" if it names none.
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
        make_http: makes the request, where it is needed.
        kwargs: from its URL.
        size: bytes of its body.
        scope: as the server gave it.
    """

    make_http: Callable[[], HttpRequest]
    kwargs: Mapping[str, str]
    size: int = 0
    scope: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def http(self) -> HttpRequest:
        """The request."""
        return self.make_http()


class StreamRefused(Exception):
    """The backend refuses a stream, or an alive request.

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
    """A call of `alive`, by which a client says that it is connected.

    Args:
        http: the request.
        key: the presence key that it names.
        connection_id: the stream whose heartbeat it acknowledges; None for all of the key.
        said: further contents, which only the backend reads.
        noted: whether the acknowledgement is written already, so that only `said` is left to handle.
    """

    http: HttpRequest
    key: Key
    connection_id: uuid.UUID | None = None
    said: Any = None
    noted: bool = False


class Outcome(Enum):
    """The result of an alive request that is neither done nor refused.

    Args:
        IGNORED: it has no effect, and is answered as if it had.
        LOCKED: another transaction has locked the row of its key; nothing was done.
        SLOW: it needs more than a quick write; nothing was done.
        NOTIFIES: the acknowledgement is written; the rest notifies others, and is left to the slow queue.
    """

    IGNORED = "ignored"
    LOCKED = "locked"
    SLOW = "slow"
    NOTIFIES = "notifies"


class PresenceBackend(ABC):
    """The domain's side of presence, named by the setting `EVENTS_PRESENCE_BACKEND`. All methods are synchronous.

    Those that write are called inside a transaction, in the order lock (or locking), displaced, arrived, departed.
    `departed` and `server_died` may raise `events_app.database.lock_retry.NeedsLocks`.
    """

    # What a process that serves has to listen for.
    caches: Collection[NotifiedCache[Any, Any]] = ()
    # What it has to end when it stops.
    writers: Collection[SetWriter[Any, Any]] = ()

    @abstractmethod
    def resolve(self, requests: Sequence[StreamRequest]) -> Sequence[StreamGrant | StreamRefused]:
        """Return for each request the grant of its stream, or the refusal."""

    @abstractmethod
    def resolve_at_once(self, request: StreamRequest) -> StreamGrant | StreamRefused | None:
        """Return the same for one request without the database, or None where that is needed.

        Whether the user owns the grant's key is then asked when the stream arrives. Called in the event loop.
        """

    @abstractmethod
    def users(self, requests: Sequence[HttpRequest]) -> Sequence[int | StreamRefused]:
        """Return for each request the primary key of its user, by its headers, or the refusal."""

    @abstractmethod
    def alive_request(
        self, http: HttpRequest, kwargs: Mapping[str, str], body: bytes
    ) -> AliveRequest | None:
        """Parse an alive request, without the database; return None if it is not well-formed.

        Args:
            http: the request.
            kwargs: from its URL.
            body: its body.
        """

    @abstractmethod
    def alive(
        self, requests: Sequence[AliveRequest], *, quick: bool
    ) -> Sequence[StreamRefused | Outcome | None]:
        """Record alive requests, in one transaction of its own.

        Args:
            requests: they, in the order in which they came.
            quick: whether to leave out everything that takes more than a moment.

        Returns:
            For each: None if it is done, else its outcome or its refusal.
        """

    @abstractmethod
    def lock(self, keys: Collection[Key], also: Collection[Key] = ()) -> set[Key]:
        """Lock the rows behind the keys in the one order of locks; return those of `keys` that exist.

        `also` are further keys, which an earlier attempt reported by `NeedsLocks`.
        """

    @abstractmethod
    def locking(self, keys: Collection[Key]) -> Query:
        """Return the query that locks the rows behind the keys, as `lock` does.

        Its rows are, for each key that exists, the key, the user who owns it, the machine that it belongs to, or "",
        and whether it has departed, or is away.
        """

    @abstractmethod
    def displaced(
        self, claims: Collection[tuple[Key, str]], machines: Mapping[Key, str]
    ) -> set[tuple[Key, str]]:
        """Return those of these locked keys, each with a machine that claims it, which belong to another machine now.

        Args:
            claims: by their owners.
            machines: what they belonged to when they were locked.
        """

    @abstractmethod
    def unknown(self) -> StreamRefused:
        """Return the refusal of a stream whose key does not exist."""

    @abstractmethod
    def foreign(self) -> StreamRefused:
        """Return the refusal of a stream whose key another user owns."""

    @abstractmethod
    def displacement(self) -> StreamRefused:
        """Return the refusal of a stream whose workstation another machine has now."""

    @abstractmethod
    def arrived(self, keys: Collection[Key], absent: Collection[Key], ahead: Query) -> None:
        """Handle that a connection of each key is committed with this transaction, as its last act.

        Args:
            keys: the keys.
            absent: those of them that had departed, or were away, when they were locked.
            ahead: is run first.
        """

    @abstractmethod
    def departed(self, keys: Collection[Key], gone: Collection[Key], process_id: uuid.UUID) -> bool:
        """Handle that the latest connection of each of `keys` ended by the client's doing, as that process saw.

        `gone` are those of `keys` that have no connection left on any process. It is the last act of its transaction,
        which it may commit.

        Returns:
            Whether this transaction left something to end: `time_passes` ends it, and is due at once.
        """

    @abstractmethod
    def server_stopped(self, gone: Collection[Key]) -> None:
        """Handle that `gone` lost their last connection because their server was stopped, which is no departure."""

    @abstractmethod
    def server_died(
        self, gone: Collection[Key], process_id: uuid.UUID, last_beat: datetime
    ) -> None:
        """Handle that `gone` lost their last connection with that process, which died after `last_beat`.

        Keys that departed after that beat, as another process saw, are gone for good; the others may come back.
        """

    @abstractmethod
    def time_passes(self) -> bool:
        """End graces and give turns that are due, a batch of them; called every few seconds, outside of a transaction.

        Also called at once where a departure has left something to end.

        Returns:
            Whether there may be more.
        """

    @abstractmethod
    def clock_went_back(self) -> bool:
        """Set recorded times that lie in the future to now, a batch of them, after the database's clock went back.

        Called outside of a transaction.

        Returns:
            Whether there is more.
        """

    @abstractmethod
    def snapshot(
        self, keys: Collection[Key], ahead: Query
    ) -> tuple[Mapping[Key, Mapping[str, Any]], list[Row]]:
        """Return what each key holds, as members of `stream-open`, for as many of the keys as are read together.

        That is at least one key; how many there are, and how much they hold, is bounded.

        Args:
            keys: the keys.
            ahead: is run first; its rows are returned too.
        """

    @abstractmethod
    def touching(self, keys: Collection[Key]) -> Query:
        """Return the query that refreshes the sessions of all these keys but those that somebody else has locked."""

    @abstractmethod
    def withdrawn(
        self, grants: Collection[StreamGrant], ahead: Sequence[Query] = ()
    ) -> set[StreamGrant]:
        """Return those of the grants that are no longer permitted.

        Args:
            grants: the grants.
            ahead: are run first, in the same round trip. With them this is the last act of the transaction, which it
                may commit.
        """


@cache
def backend() -> PresenceBackend:
    """Return the configured domain."""
    instance = import_string(settings.EVENTS_PRESENCE_BACKEND)()
    assert isinstance(instance, PresenceBackend)
    return instance
