"""What this process knows of its workstation: its connection, which sessions it has, what was granted to it.

Written by the thread that reads what the helper tells and by the program's own; all under one lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from silo_client.data import Conflict, Holder, Lock, Lost
from silo_client.errors import ServerUnavailableError, SiloError
from silo_client.sessions.conflicts import Change, Meetings
from silo_client.sessions.edit_session import EditSession

if TYPE_CHECKING:
    from silo_client.sessions.acquire import Acquiring

# Ends that may overtake the answer of their acquire; far more than a program has requests under way.
REMEMBERED_ENDS = 10_000

Json = Mapping[str, Any]


def _is_on(told: Json, item_id: str | None, lock: Lock) -> bool:
    of_item = item_id is not None and told.get("item_id") == item_id
    return of_item and (told["context_level"], told["object_id"]) == (lock.level, lock.object_id)


def _forget(remembered: dict[str, Any]) -> None:
    if len(remembered) > REMEMBERED_ENDS:
        del remembered[next(iter(remembered))]


class Holdings:
    """See the module. Methods lock by themselves.

    Args:
        workstation_id: the workstation's.
        is_sole: says whether no other window of it lives on this machine. Where that is so when the first stream is
            open, what the server says that the workstation holds is a predecessor's, which is dead.
    """

    def __init__(self, workstation_id: str, is_sole: Callable[[], bool]) -> None:
        self.position = ""
        self._workstation_id = workstation_id
        self._changed = threading.Condition()
        self._connection: str | None = None
        self._final: SiloError | None = None
        self._sessions: dict[str, EditSession] = {}
        self._is_sole = is_sole
        self._inherited: set[str] | None = None
        # What was given to who stood in line or asked, and no `EditSession` here stands for.
        self._granted: dict[str, Json] = {}
        self._forced: dict[str, tuple[str, str]] = {}
        self._ended: dict[str, Lost] = {}
        # Ended by this process, or about to be: an answer that still names one is older than that.
        self._let_go: dict[str, None] = {}
        self._doubts = 0
        self._meetings = Meetings()

    # -- the connection --

    @property
    def connection(self) -> str | None:
        """The id of the open stream's connection; None while there is none."""
        return self._connection

    def await_connection(self, deadline: float, other_than: str | None = None) -> str:
        """Wait until a stream is open, another one than that.

        Raises:
            ServerUnavailableError: there is none when `time.monotonic` is at the deadline.
            SiloError: there never will be one.
        """
        with self._changed:
            while self._connection is None or self._connection == other_than:
                if self._final is not None:
                    raise self._final
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise ServerUnavailableError("There is no event stream to the server now.")
            return self._connection

    def interrupted(self) -> None:
        """There is no stream now."""
        with self._changed:
            self._connection = None

    def give_up(self, why: SiloError) -> None:
        """There never will be one again."""
        with self._changed:
            self._connection = None
            self._final = why
            self._changed.notify_all()

    @property
    def final(self) -> SiloError | None:
        """Why there never will be a stream again."""
        return self._final

    # -- what the helper tells --

    def opened(self, connection: str, held: Iterable[Json]) -> list[Change]:
        """A stream is open, and this is what the server says that the workstation holds.

        What it does not name is in doubt. Returns whom sessions meet since, or no more.
        """
        changes: list[Change] = []
        with self._changed:
            self._connection = connection
            named = {str(told["session_id"]): told for told in held}
            if self._inherited is None:
                # Asked now: who began after that had no session yet when the server looked.
                self._inherited = set(named) if self._is_sole() else set()
            self._granted = {pk: told for pk, told in self._granted.items() if pk in named}
            for session in self._sessions.values():
                if session.id in named:
                    # `newepoch` gives new ones.
                    self._renew(session, int(named[session.id]["fencing_token"]))
                    changes += self._meetings.listed(session, named[session.id])
                else:
                    self._doubt(session)
            self._changed.notify_all()
        return changes

    def interfering(self, told: Json) -> list[Change]:
        """Another session begins to interfere with one of this workstation."""
        conflict = Conflict(Holder.of(told["with"]), tuple(told["shared"]))
        return self._hear(told["session_id"], conflict.holder.session_id, conflict)

    def resolved(self, told: Json) -> list[Change]:
        """Another session interferes no more."""
        return self._hear(told["session_id"], told["with_session_id"], None)

    def missed(self) -> None:
        """Events were missed: the server has to be asked about everything."""
        with self._changed:
            self._meetings.missed()
        self.doubt()

    def _hear(self, session_id: str, other_id: str, conflict: Conflict | None) -> list[Change]:
        with self._changed:
            if session_id in self._ended:
                return []
            # Also if it is not here yet: its answer may be under way.
            self._meetings.hear(session_id, other_id, conflict)
            session = self._sessions.get(session_id)
            return self._meetings.apply(session) if session is not None else []

    def granted(self, told: Json) -> None:
        """A turn has come, or a session was handed over."""
        with self._changed:
            session_id = str(told["session_id"])
            if not self._knows(session_id):
                self._granted[session_id] = told
            self._changed.notify_all()

    def forced(self, told: Json) -> None:
        """An admin ends a session: its end will be told next."""
        with self._changed:
            self._forced[str(told["session_id"])] = str(told["by"]), str(told["reason"])

    def ended(self, session_id: str, reason: str) -> EditSession | None:
        """A session has ended; return it if it is lost by that."""
        with self._changed:
            by, note = self._forced.pop(session_id, ("", ""))
            lost = Lost(reason, by, note)
            self._granted.pop(session_id, None)
            self._meetings.forget(session_id)
            self._ended[session_id] = lost
            _forget(self._ended)
            return self._lose(session_id, lost)

    # -- doubt --

    def doubt(self, sessions: Iterable[EditSession] | None = None) -> None:
        """The server has to be asked about sessions; about all of them where none are named."""
        with self._changed:
            for session in list(self._sessions.values() if sessions is None else sessions):
                self._doubt(session)

    @property
    def doubted(self) -> dict[EditSession, int]:
        """What the server has to be asked about, each with the doubt that its answer will settle."""
        with self._changed:
            return {one: one.doubt for one in self._sessions.values() if one.doubt}

    def settle(self, session: EditSession, doubt: int, told: Json) -> list[Change]:
        """The server, asked after that doubt, has said that it is there. Returns whom it meets since, or no more."""
        with self._changed:
            self._renew(session, int(told["fencing_token"]))
            if session.doubt == doubt:
                session.doubt = 0
            return self._meetings.listed(session, told)

    def lose(self, session: EditSession, lost: Lost) -> bool:
        """The server has said that it is not there; return whether that is news."""
        with self._changed:
            return self._lose(session.id, lost) is not None

    # -- what the program does --

    def take(
        self, acquiring: Acquiring, told: Json, connection: str, *, owned: bool
    ) -> EditSession | None:
        """Have what was acquired; return None if its end has been told already.

        Args:
            acquiring: by which the session is ended.
            told: the session as the server answered it.
            connection: by which it was asked for. If there is another one by now, the session is in doubt.
            owned: whether it was acquired, or stood in line for, by a connection of this process.
        """
        with self._changed:
            session_id = str(told["session_id"])
            if session_id in self._ended or session_id in self._let_go:
                return None
            session = self._sessions.get(session_id)
            if session is not None:
                session.users += 1
                session.note = str(told.get("note", session.note))
                return session
            session = EditSession(acquiring, told)
            if owned or session_id in (self._inherited or ()):
                # Also if it was asked for a second time because the first answer was not read.
                session.existing = False
            elif told.get("connection_id"):
                # In the turn of a place that another window took, say.
                session.existing = True
            if self._connection != connection:
                self._doubt(session)
            # Events may have overtaken the answer.
            self._meetings.apply(session)
            self._sessions[session_id] = session
            self._granted.pop(session_id, None)
            return session

    def granted_for(self, lock: Lock, until: float, item_id: str | None = None) -> Json | None:
        """Wait for a session that this lock is granted by; return it or None.

        Args:
            lock: the lock.
            until: when `time.monotonic` is there, the waiting ends.
            item_id: of its item, where that is known: it may be renamed.
        """
        with self._changed:
            while True:
                for told in self._granted.values():
                    if Lock.of(told) == lock or _is_on(told, item_id, lock):
                        return told
                left = until - time.monotonic()
                if self._final is not None or left <= 0:
                    return None
                self._changed.wait(left)

    def let_go(self, session: EditSession) -> bool:
        """It is about to be ended by its own doing; return whether it was still there."""
        with self._changed:
            there = self._sessions.pop(session.id, None) is not None
            session.released = session.released or there
            if there:
                self._let_go[session.id] = None
                _forget(self._let_go)
            return there

    def releasing(self, session_ids: Iterable[str]) -> None:
        """The helper is about to release what this process does not want any more."""
        with self._changed:
            for session_id in session_ids:
                self._granted.pop(session_id, None)
                self._let_go[session_id] = None
                _forget(self._let_go)

    def keep(self, session: EditSession) -> None:
        """It was not ended after all."""
        with self._changed:
            session.released = False
            self._let_go.pop(session.id, None)
            if lost := self._ended.get(session.id):
                session.lost = lost
            else:
                self._sessions[session.id] = session

    def leave(self, session: EditSession) -> bool:
        """A `with` block has ended; return whether the session is to be ended with it."""
        with self._changed:
            session.users -= 1
            if session.users > 0 or session.id not in self._sessions:
                return False
            if session.existing:
                # Whoever acquired it ends it.
                del self._sessions[session.id]
                session.released = True
                return False
            return True

    @property
    def sessions(self) -> list[EditSession]:
        """What this process has."""
        with self._changed:
            return list(self._sessions.values())

    def is_sure_of(self, session: EditSession) -> bool:
        """Whether it has not ended, as far as was told, and there is no doubt about it."""
        with self._changed:
            return self._sessions.get(session.id) is session and not session.doubt

    def _knows(self, session_id: str) -> bool:
        return (
            session_id in self._sessions or session_id in self._ended or session_id in self._let_go
        )

    def _renew(self, session: EditSession, fencing_token: int) -> None:
        # An answer may be older than the one before.
        session.fencing_token = max(session.fencing_token, fencing_token)

    def _doubt(self, session: EditSession) -> None:
        self._doubts += 1
        session.doubt = self._doubts

    def _lose(self, session_id: str, lost: Lost) -> EditSession | None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            session.lost = lost
        return session
