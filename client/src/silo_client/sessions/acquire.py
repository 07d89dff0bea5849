"""Acquiring and ending the sessions of this process, so that none is left behind whatever happens in between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from silo_client.api import Api
from silo_client.common import clock
from silo_client.common.protocol import ABANDONED_SECONDS
from silo_client.common.visible import get_logger
from silo_client.data import Lock, Wanted
from silo_client.errors import (
    ApiError,
    NotConnectedError,
    NotFoundError,
    ServerUnavailableError,
    SiloError,
)
from silo_client.forking import Owner
from silo_client.identity.instances import Instance
from silo_client.link.helper_link import HelperLink
from silo_client.network.time_limit import deadline, within
from silo_client.sessions.edit_session import EditSession
from silo_client.sessions.held import HeldSessions
from silo_client.sessions.reconcile import Reconciler

logger = get_logger()

RETRY_SECONDS = 0.5
# The pause before a session is acquired again that is just being released.
AGAIN_SECONDS = 0.05


class Acquirer:
    """Acquires and ends sessions of a workstation.

    Args:
        workstation_id: the workstation.
        api: the server.
        link: the helper.
        held: the sessions of this process.
        reconciler: asks the server about unconfirmed sessions.
        instance: this process among those of the workstation.
        patience: seconds within which a call returns or raises.
    """

    def __init__(
        self,
        workstation_id: str,
        api: Api,
        link: HelperLink,
        held: HeldSessions,
        reconciler: Reconciler,
        instance: Instance,
        patience: float,
    ) -> None:
        self.workstation_id = workstation_id
        self.api = api
        self.link = link
        self.held = held
        self.reconciler = reconciler
        self.patience = patience
        self.owner = Owner()
        self._instance = instance
        # How many calls, in their threads, request each lock now. Changed under the lock, in one step with the commands
        # about it that the helper gets.
        self._asking: Counter[Lock] = Counter()
        self._lock = threading.Lock()
        # Until when the helper may release what begins for these locks: their requests were given up.
        self._abandoned: dict[Lock, float] = {}

    def within(self, patience: float | None) -> AbstractContextManager[None]:
        """Limit what the block requests to so many seconds; to the workstation's patience where it is None."""
        return within(self.patience if patience is None else patience)

    def is_valid(self, session: EditSession) -> bool:
        """See `EditSession.valid`."""
        if not self.owner.is_here:
            return False
        # In this order: what may wait for messages, what the messages have changed, and what time it is.
        valid_until = self.link.valid_until()
        return self.held.is_confirmed(session) and clock.now() < valid_until

    def owns(self, payload: Mapping[str, Any]) -> bool:
        """Whether a session or place in line belongs to this process, and not to another instance."""
        return self.link.owns(payload)

    def inherits(self, connection: str | None) -> bool:
        """Whether a dead instance's connection counts as this process's now: no other instance lives any more."""
        if not self._instance.sole:
            return False
        if connection is not None:
            self.link.send(connected=[connection])
        return True

    def take(self, payload: Mapping[str, Any], connection: str) -> EditSession | None:
        """Keep a session that the server has answered; None if it has ended already. See `HeldSessions.take`."""
        made = EditSession(self, payload)
        session = self.held.take(made, connection, owned=self.owns(payload))
        if session is None:
            return None
        if not session.existing:
            self.link.send(hold=[session.id])
        if session.unconfirmed:
            self.reconciler.now(min(deadline(), time.monotonic() + self.patience))
            self.reconciler.soon()
        return None if session.lost else session

    @contextmanager
    def asking_for(self, wanted: Iterable[Wanted], *, unsure: bool = False) -> Iterator[None]:
        """Request sessions inside of the block. Whatever happens to the answer, no session is left behind.

        The helper knows the locks until the answer was read.

        Args:
            wanted: the sessions that are requested.
            unsure: an earlier try of the same call got no answer and may still be carried out, so a refusal does not
                answer it.
        """
        locks = [one.lock for one in wanted]
        answered = False
        try:
            with self._lock:
                self._asking.update(locks)
                sent = self.link.send(ask=locks)
            # Before the request: if this process dies after it, the helper has to know.
            sent.check()
            now = time.monotonic()
            abandoned = [lock for lock in locks if self._abandoned.get(lock, 0.0) > now]
            if abandoned:
                # Once the helper has confirmed, this process knows before it asks of all that the helper releases
                # nevertheless. Without that in time, a session that is answered is taken from what is to be released.
                self.link.send_and_confirm()
                # After that: another thread that asks for the same lock has to wait too.
                for lock in abandoned:
                    self._abandoned.pop(lock, None)
            yield
            answered = True
        except ApiError:
            answered = not unsure
            raise
        finally:
            with self._lock:
                self._asking.subtract(locks)
                last = [lock for lock in locks if self._asking[lock] <= 0]
                for lock in last:
                    del self._asking[lock]
                # Under the lock: a thread that asks next is not answered by this.
                if answered and last:
                    self.link.send(answered=last)

    def joined_line(self, lock: Lock) -> None:
        """Note a place in line, which the helper gives up if this process dies."""
        self.link.send(stand=[lock])

    def place_is_of_another(self, lock: Lock) -> None:
        """Note that the place in line belongs to another instance."""
        self.link.send(unstand=[lock])

    def turn_came(self, lock: Lock) -> None:
        """Note that the session for a place in line was taken."""
        self.link.send(unstand=[lock], answered=[lock])

    def left_line(self, lock: Lock) -> None:
        """Note that the place was given up. Another one may follow, of a request that got no answer."""
        self.link.send(unstand=[lock])
        if self.link.has_asked(lock):
            self.abandon_line(lock)

    def abandon_line(self, lock: Lock) -> None:
        """Have the helper give up the place in line, and release a session that is granted for it meanwhile."""
        self._abandon([lock])
        self.link.send(leave_line=[lock])

    def note_not_connected(self, connection: str) -> None:
        """Have the helper open another stream: the server says that it has no such connection."""
        self.link.send(not_connected=connection)

    def release(self, session: EditSession, patience: float | None = None) -> None:
        """See `EditSession.release`."""
        self.owner.check()
        with self.within(patience):
            self._release([session])

    def leave(self, sessions: Iterable[EditSession]) -> None:
        """End sessions whose `with` blocks have ended. In a forked child nothing ends: the parent is still in them."""
        if self.owner.is_here:
            with self.within(None):
                self._release([session for session in sessions if self.held.leave(session)])

    def hand_over(
        self, session: EditSession, to_workstation_id: str, patience: float | None = None
    ) -> None:
        """See `EditSession.hand_over`."""
        self.owner.check()
        if not self.held.let_go(session):
            raise NotFoundError(404, "not_found", "The session has ended.", {})
        try:
            with self.within(patience):
                self.api.hand_off(session.part_number, session.id, to_workstation_id)
        except ApiError:
            self.held.keep(session)
            raise
        except BaseException:
            # The server may have done it.
            self.held.keep(session)
            self.held.mark_unconfirmed([session])
            self.reconciler.soon()
            raise
        self.link.send(drop=[session.id])

    def acquire(
        self,
        wanted: Sequence[Wanted],
        ask: Callable[[str], list[dict[str, Any]]],
        patience: float | None = None,
    ) -> list[EditSession]:
        """Acquire by an open connection; wait for one, and repeat a request that may not have arrived.

        Where the answer does not come in time, what has begun nevertheless is released in the background.
        """
        self.owner.check()
        taken: list[EditSession] = []
        with self.within(patience):
            try:
                self._acquire_into(taken, wanted, ask)
            except BaseException:
                self.leave(taken)
                self._abandon_unread([one.lock for one in wanted])
                raise
        return taken

    def take_over(
        self, wanted: Wanted, session_id: str, reason: str, patience: float | None = None
    ) -> EditSession:
        """Force-release another user's session, and begin one in its place."""

        def ask(connection: str) -> list[dict[str, Any]]:
            with suppress(NotFoundError):
                self.api.take_over(
                    wanted.part_number, session_id, reason, self.workstation_id, connection
                )
            # It has ended, perhaps by a try that got no answer. Else this returns the same session, with cone and note.
            return [self.api.acquire(wanted, self.workstation_id, connection)]

        [session] = self.acquire([wanted], ask, patience)
        return session

    def _abandon_unread(self, locks: Iterable[Lock]) -> None:
        """Have sessions released that may have begun without an answer, unless another thread asks for the lock too."""
        with self._lock:
            others = [lock for lock in locks if lock not in self._asking]
            unread = [lock for lock in others if self.link.has_asked(lock)]
            if unread:
                self._abandon(unread)
                self.link.send(abandon=unread)

    def _abandon(self, locks: Iterable[Lock]) -> None:
        self._abandoned.update(dict.fromkeys(locks, time.monotonic() + ABANDONED_SECONDS))

    def _acquire_into(
        self,
        taken: list[EditSession],
        wanted: Sequence[Wanted],
        ask: Callable[[str], list[dict[str, Any]]],
    ) -> None:
        ends = deadline()
        gone: str | None = None
        unsure = False
        while True:
            connection = self.held.await_connection(ends, other_than=gone)
            try:
                with self.asking_for(wanted, unsure=unsure):
                    answers = ask(connection)
                    for payload in answers:
                        session = self.take(payload, connection)
                        if session is not None:
                            taken.append(session)
            except NotConnectedError:
                self.note_not_connected(connection)
                gone = connection
                continue
            except ServerUnavailableError:
                unsure = True
                if time.monotonic() + RETRY_SECONDS > ends:
                    raise
                time.sleep(RETRY_SECONDS)
                continue
            if len(taken) == len(answers):
                return
            # Some have ended before they could be returned: the rest would not be the whole batch.
            self.leave(taken)
            taken.clear()
            if time.monotonic() > ends:
                raise ServerUnavailableError("The acquired sessions ended at once. Try again.")
            time.sleep(AGAIN_SECONDS)

    def _release(self, sessions: Iterable[EditSession]) -> None:
        gone = [session for session in sessions if self.held.let_go(session)]
        if not gone:
            return
        ids = [session.id for session in gone]
        try:
            if len(gone) == 1:
                self.api.release(gone[0].part_number, gone[0].id)
            else:
                self.api.release_many(ids)
        except NotFoundError:
            pass
        except SiloError as error:
            logger.warning("a release goes on in the background: %s", error)
            self.link.send(release=ids)
            return
        except BaseException:
            self.link.send(release=ids)
            raise
        self.link.send(drop=ids)
