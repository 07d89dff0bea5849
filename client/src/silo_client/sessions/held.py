"""The sessions that this process has, its connection, and the sessions that were granted to it.

The thread that reads the helper's messages writes here, and so do the program's own threads; all under one lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from silo_client.data import Conflict, Holder, Lock, Lost
from silo_client.errors import ServerUnavailableError, SiloError
from silo_client.sessions.conflicts import ConflictChange, ConflictEvents
from silo_client.sessions.edit_session import EditSession

# Ends that may overtake the answer of their acquire; far more than a program has requests under way.
REMEMBERED_ENDS = 10_000

Json = Mapping[str, Any]


def _is_on(payload: Json, item_id: str | None, lock: Lock) -> bool:
    of_item = item_id is not None and payload.get("item_id") == item_id
    return of_item and (payload["context_level"], payload["object_id"]) == lock[1:]


def _forget_oldest(remembered: dict[str, Any]) -> None:
    if len(remembered) > REMEMBERED_ENDS:
        del remembered[next(iter(remembered))]


class HeldSessions:
    """See the module. Each method takes the lock itself.

    Args:
        is_sole: says whether no other instance of the workstation lives on this machine. Where that is so when the
            first stream is open, the sessions that the server then names are those of a dead predecessor.
    """

    def __init__(self, is_sole: Callable[[], bool]) -> None:
        self.position = ""
        self._changed = threading.Condition()
        self._connection: str | None = None
        self._final: SiloError | None = None
        self._sessions: dict[str, EditSession] = {}
        self._is_sole = is_sole
        self._inherited: set[str] | None = None
        # Sessions that were granted to a place in line or handed over, for which there is no `EditSession` here yet.
        self._granted: dict[str, Json] = {}
        self._forced: dict[str, tuple[str, str]] = {}
        self._ended: dict[str, Lost] = {}
        # Sessions that this process has ended, or is about to end: an answer that still names one is older than that.
        self._let_go: dict[str, None] = {}
        self._marks = 0
        self._conflict_events = ConflictEvents()

    # -- the connection --

    @property
    def connection(self) -> str | None:
        """The id of the open stream's connection; None while there is none."""
        return self._connection

    def await_connection(self, deadline: float, other_than: str | None = None) -> str:
        """Wait until a stream is open, with another connection than that one.

        Raises:
            ServerUnavailableError: no stream is open when `time.monotonic` is at the deadline.
            SiloError: there will never be a stream again.
        """
        with self._changed:
            while self._connection is None or self._connection == other_than:
                if self._final is not None:
                    raise self._final
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise ServerUnavailableError("There is no event stream to the server now.")
            return self._connection

    def interrupted(self) -> None:
        """Note that no stream is open now."""
        with self._changed:
            self._connection = None

    def give_up(self, why: SiloError) -> None:
        """Note that no stream will ever be open again."""
        with self._changed:
            self._connection = None
            self._final = why
            self._changed.notify_all()

    # -- what the helper reports --

    def opened(self, connection: str, listed: Iterable[Json]) -> list[ConflictChange]:
        """Note that a stream is open, and the sessions that the server then lists for the workstation.

        A session that is not listed becomes unconfirmed. Returns the conflicts that changed.
        """
        changes: list[ConflictChange] = []
        with self._changed:
            self._connection = connection
            by_id = {str(payload["session_id"]): payload for payload in listed}
            if self._inherited is None:
                # Asked now: an instance that began later had no session yet when the server made the list.
                self._inherited = set(by_id) if self._is_sole() else set()
            self._granted = {pk: one for pk, one in self._granted.items() if pk in by_id}
            for session in self._sessions.values():
                if session.id in by_id:
                    # `newepoch` gives new fencing tokens.
                    self._renew(session, int(by_id[session.id]["fencing_token"]))
                    changes += self._conflict_events.apply_list(session, by_id[session.id])
                else:
                    self._mark(session)
            self._changed.notify_all()
        return changes

    def interfering(self, payload: Json) -> list[ConflictChange]:
        """Handle `edit.interference`."""
        conflict = Conflict(Holder.from_payload(payload["with"]), tuple(payload["shared"]))
        return self._conflict(payload["session_id"], conflict.holder.session_id, conflict)

    def resolved(self, payload: Json) -> list[ConflictChange]:
        """Handle `edit.interference_resolved`."""
        return self._conflict(payload["session_id"], payload["with_session_id"], None)

    def missed(self) -> None:
        """Note that events were missed: every session becomes unconfirmed."""
        with self._changed:
            self._conflict_events.clear()
        self.mark_unconfirmed()

    def _conflict(
        self, session_id: str, other_id: str, conflict: Conflict | None
    ) -> list[ConflictChange]:
        with self._changed:
            if session_id in self._ended:
                return []
            # Also for a session that is not here yet: its answer may be under way.
            self._conflict_events.add(session_id, other_id, conflict)
            session = self._sessions.get(session_id)
            return self._conflict_events.apply(session) if session is not None else []

    def granted(self, payload: Json) -> None:
        """Handle `edit.session_granted`."""
        with self._changed:
            session_id = str(payload["session_id"])
            if not self._knows(session_id):
                self._granted[session_id] = payload
            self._changed.notify_all()

    def forced(self, payload: Json) -> None:
        """Handle `edit.force_released`, which comes right before the end of the session."""
        with self._changed:
            by, reason = str(payload["by"]), str(payload["reason"])
            self._forced[str(payload["session_id"])] = by, reason

    def ended(self, session_id: str, reason: str) -> EditSession | None:
        """Handle `edit.session_released`; return the session if it is lost by that."""
        with self._changed:
            by, note = self._forced.pop(session_id, ("", ""))
            lost = Lost(reason, by, note)
            self._granted.pop(session_id, None)
            self._conflict_events.forget(session_id)
            self._ended[session_id] = lost
            _forget_oldest(self._ended)
            return self._lose(session_id, lost)

    # -- unconfirmed sessions --

    def mark_unconfirmed(self, sessions: Iterable[EditSession] | None = None) -> None:
        """Note that the server has to be asked about these sessions; about all of them by default."""
        with self._changed:
            for session in list(self._sessions.values() if sessions is None else sessions):
                self._mark(session)

    @property
    def unconfirmed(self) -> dict[EditSession, int]:
        """The sessions about which the server has to be asked, each with the mark that its answer will confirm."""
        with self._changed:
            return {one: one.unconfirmed for one in self._sessions.values() if one.unconfirmed}

    def confirm(self, session: EditSession, mark: int, payload: Json) -> list[ConflictChange]:
        """Note that the server, asked after that mark, has listed the session. Returns the conflicts that changed."""
        with self._changed:
            self._renew(session, int(payload["fencing_token"]))
            if session.unconfirmed == mark:
                session.unconfirmed = 0
            return self._conflict_events.apply_list(session, payload)

    def lose(self, session: EditSession, lost: Lost) -> bool:
        """Note that the server does not list the session; return whether that is news."""
        with self._changed:
            return self._lose(session.id, lost) is not None

    # -- what the program does --

    def take(self, made: EditSession, connection: str, *, owned: bool) -> EditSession | None:
        """Keep a session that was acquired; return the one to use, or None if its end came before its answer.

        Args:
            made: the session as the server answered it.
            connection: the one by which it was requested. If there is another one by now, the session is unconfirmed.
            owned: whether it was acquired, or stood in line for, by a connection of this process.
        """
        with self._changed:
            if made.id in self._ended or made.id in self._let_go:
                return None
            known = self._sessions.get(made.id)
            if known is not None:
                known.users += 1
                known.note = made.note
                return known
            if owned or made.id in (self._inherited or ()):
                # Also if it was requested a second time because the first answer was not read.
                made.existing = False
            elif made.connection_id:
                # It was granted to a place that another instance took, for example.
                made.existing = True
            if self._connection != connection:
                self._mark(made)
            # Events may have overtaken the answer.
            self._conflict_events.apply(made)
            self._sessions[made.id] = made
            self._granted.pop(made.id, None)
            return made

    def granted_for(self, lock: Lock, until: float, item_id: str | None = None) -> Json | None:
        """Wait until a session on this lock is granted; return its payload or None.

        Args:
            lock: the lock.
            until: when `time.monotonic` is there, the waiting ends.
            item_id: the lock's item, where that is known: it may be renamed.
        """
        with self._changed:
            while True:
                for payload in self._granted.values():
                    if Lock.from_payload(payload) == lock or _is_on(payload, item_id, lock):
                        return payload
                left = until - time.monotonic()
                if self._final is not None or left <= 0:
                    return None
                self._changed.wait(left)

    def let_go(self, session: EditSession) -> bool:
        """Note that this process is about to end a session; return whether it was still there."""
        with self._changed:
            there = self._sessions.pop(session.id, None) is not None
            session.released = session.released or there
            if there:
                self._let_go[session.id] = None
                _forget_oldest(self._let_go)
            return there

    def releasing(self, session_ids: Iterable[str]) -> None:
        """Note that the helper is about to release sessions that this process abandoned."""
        with self._changed:
            for session_id in session_ids:
                self._granted.pop(session_id, None)
                self._let_go[session_id] = None
                _forget_oldest(self._let_go)

    def keep(self, session: EditSession) -> None:
        """Note that a session was not ended after all."""
        with self._changed:
            session.released = False
            self._let_go.pop(session.id, None)
            if lost := self._ended.get(session.id):
                session.lost = lost
            else:
                self._sessions[session.id] = session

    def leave(self, session: EditSession) -> bool:
        """Note that a `with` block has ended; return whether the session is to be ended with it."""
        with self._changed:
            session.users -= 1
            if session.users > 0 or session.id not in self._sessions:
                return False
            if session.existing:
                # The instance that acquired it ends it.
                del self._sessions[session.id]
                session.released = True
                return False
            return True

    @property
    def sessions(self) -> list[EditSession]:
        """The sessions that this process has."""
        with self._changed:
            return list(self._sessions.values())

    def is_confirmed(self, session: EditSession) -> bool:
        """Whether this process has the session, and the server need not be asked about it."""
        with self._changed:
            return self._sessions.get(session.id) is session and not session.unconfirmed

    def _knows(self, session_id: str) -> bool:
        return any(session_id in known for known in (self._sessions, self._ended, self._let_go))

    def _renew(self, session: EditSession, fencing_token: int) -> None:
        # An answer may be older than the one before.
        session.fencing_token = max(session.fencing_token, fencing_token)

    def _mark(self, session: EditSession) -> None:
        self._marks += 1
        session.unconfirmed = self._marks

    def _lose(self, session_id: str, lost: Lost) -> EditSession | None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            session.lost = lost
        return session
