"""How this process comes by sessions and ends them: whatever happens in between, none is left behind."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from silo_client.api import Api
from silo_client.common import clock
from silo_client.common.obligations import LockKey
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
from silo_client.helper.cleanup import ABANDONED_SECONDS
from silo_client.identity.instances import Window
from silo_client.link.helper_link import HelperLink
from silo_client.sessions.edit_session import EditSession
from silo_client.sessions.held import Holdings
from silo_client.sessions.reconcile import Settling

logger = get_logger()

RETRY_SECONDS = 0.5
# Until what is on its way to being released is.
AGAIN_SECONDS = 0.05


class Acquiring:
    """Acquires and ends sessions of a workstation.

    Args:
        workstation_id: the workstation's.
        api: of the server.
        link: to the helper.
        holdings: what this process has.
        settling: of what is in doubt.
        window: which of the workstation's this process is.
        patience: seconds for which a call goes on trying while the server cannot be reached.
    """

    def __init__(
        self,
        workstation_id: str,
        api: Api,
        link: HelperLink,
        holdings: Holdings,
        settling: Settling,
        window: Window,
        patience: float,
    ) -> None:
        self.workstation_id = workstation_id
        self.api = api
        self.link = link
        self.holdings = holdings
        self.settling = settling
        self.patience = patience
        self.owner = Owner()
        self._window = window
        # How many calls, in their threads, ask for these now. Under the lock, as is what the helper is told of it.
        self._asking: Counter[LockKey] = Counter()
        self._lock = threading.Lock()
        # Until when the helper may release what is given for these: they were given up.
        self._abandoned: dict[Lock, float] = {}

    def is_sure_of(self, session: EditSession) -> bool:
        """See `EditSession.valid`."""
        if not self.owner.is_here:
            return False
        # First what may wait for news, then what the news have changed, and last what time it is.
        sure_until = self.link.sure_until()
        return self.holdings.is_sure_of(session) and clock.now() < sure_until

    def owns(self, told: Mapping[str, Any]) -> bool:
        """Whether a session or place in line is this process's, and not another window's."""
        return self.link.owns(told)

    def inherits(self, connection: str | None) -> bool:
        """Whether what another window has by its connection is this process's now: no other window lives any more."""
        if not self._window.sole:
            return False
        if connection is not None:
            self.link.send(connected=[connection])
        return True

    def take(self, told: Mapping[str, Any], connection: str) -> EditSession | None:
        """Have a session that the server has given; None if it has ended already. See `Holdings.take`."""
        session = self.holdings.take(self, told, connection, owned=self.owns(told))
        if session is None:
            return None
        if not session.existing:
            self.link.send(hold=[session.id])
        if session.doubt:
            self.settling.now(time.monotonic() + self.patience)
            self.settling.soon()
        return None if session.lost else session

    @contextmanager
    def asking_for(self, wanted: Iterable[Wanted], *, unsure: bool = False) -> Iterator[None]:
        """Ask for sessions inside of the block. Whatever happens to the answer, no session is left behind.

        The helper knows of what is asked for until the answer was read.

        Args:
            wanted: what is asked for.
            unsure: an earlier try of the same call got no answer and may still be carried out: a refusal is none to it.
        """
        locks = [one.lock for one in wanted]
        keys = [_key(lock) for lock in locks]
        answered = False
        try:
            with self._lock:
                self._asking.update(keys)
                self.link.send(ask=keys)
            now = time.monotonic()
            if [lock for lock in locks if self._abandoned.pop(lock, 0.0) > now]:
                # What it releases nevertheless, this process knows before it asks.
                self.link.send_and_confirm()
            yield
            answered = True
        except ApiError:
            answered = not unsure
            raise
        finally:
            with self._lock:
                self._asking.subtract(keys)
                last = [key for key in keys if self._asking[key] <= 0]
                for key in last:
                    del self._asking[key]
                # Under the lock: who asks next is not answered by this.
                if answered and last:
                    self.link.send(answered=last)

    def stands(self, lock: Lock) -> None:
        """It has a place in line, which the helper gives up if this process dies."""
        self.link.send(stand=[_key(lock)])

    def stands_no_more(self, lock: Lock) -> None:
        """Another window has the place."""
        self.link.send(unstand=[_key(lock)])

    def has_its_turn(self, lock: Lock) -> None:
        """The turn has come, and the session is taken."""
        self.link.send(unstand=[_key(lock)], answered=[_key(lock)])

    def has_left(self, lock: Lock) -> None:
        """The place is given up. Another one may follow, of a request that got no answer."""
        self.link.send(unstand=[_key(lock)])
        if self.link.has_asked(_key(lock)):
            self.abandon_line(lock)

    def abandon_line(self, lock: Lock) -> None:
        """Nobody waits any more: the helper gives up the place, and what is given for it meanwhile."""
        self._abandon([lock])
        self.link.send(leave_line=[_key(lock)])

    def note_not_connected(self, connection: str) -> None:
        """The server says that it has no such connection: the helper opens another one."""
        self.link.send(not_connected=connection)

    def release(self, session: EditSession) -> None:
        """See `EditSession.release`."""
        self.owner.check()
        self._release([session])

    def leave(self, sessions: Iterable[EditSession]) -> None:
        """`with` blocks of these have ended. In a forked child that ends nothing: the parent is still in them."""
        if self.owner.is_here:
            self._release([session for session in sessions if self.holdings.leave(session)])

    def hand_over(self, session: EditSession, to_workstation_id: str) -> None:
        """See `EditSession.hand_over`."""
        self.owner.check()
        if not self.holdings.let_go(session):
            raise NotFoundError(404, "not_found", "The session has ended.", {})
        try:
            self.api.hand_off(session.part_number, session.id, to_workstation_id)
        except ApiError:
            self.holdings.keep(session)
            raise
        except BaseException:
            # Perhaps it was done.
            self.holdings.keep(session)
            self.holdings.doubt([session])
            self.settling.soon()
            raise
        self.link.send(drop=[session.id])

    def acquire(
        self, wanted: Sequence[Wanted], ask: Callable[[str], list[dict[str, Any]]]
    ) -> list[EditSession]:
        """Acquire by an open connection; wait for one, and repeat what may not have arrived."""
        self.owner.check()
        taken: list[EditSession] = []
        try:
            self._acquire_into(taken, wanted, ask)
        except BaseException:
            self.leave(taken)
            self._abandon_unread([one.lock for one in wanted])
            raise
        return taken

    def take_over(self, wanted: Wanted, session_id: str, reason: str) -> EditSession:
        """End somebody's session by force, and have one's own in its place."""

        def ask(connection: str) -> list[dict[str, Any]]:
            with suppress(NotFoundError):
                self.api.take_over(
                    wanted.part_number, session_id, reason, self.workstation_id, connection
                )
            # It has ended, by a try that got no answer perhaps. Else this gives the same again, with cone and note.
            return [self.api.acquire(wanted, self.workstation_id, connection)]

        [session] = self.acquire([wanted], ask)
        return session

    def _abandon_unread(self, locks: Iterable[Lock]) -> None:
        """Have released what may have begun and nobody will read of. Of what another thread asks for, that one will."""
        with self._lock:
            others = [lock for lock in locks if _key(lock) not in self._asking]
            unread = [lock for lock in others if self.link.has_asked(_key(lock))]
            if unread:
                self._abandon(unread)
                self.link.send(abandon=[_key(lock) for lock in unread])

    def _abandon(self, locks: Iterable[Lock]) -> None:
        self._abandoned.update(dict.fromkeys(locks, time.monotonic() + ABANDONED_SECONDS))

    def _acquire_into(
        self,
        taken: list[EditSession],
        wanted: Sequence[Wanted],
        ask: Callable[[str], list[dict[str, Any]]],
    ) -> None:
        deadline = time.monotonic() + self.patience
        gone: str | None = None
        unsure = False
        while True:
            connection = self.holdings.await_connection(deadline, other_than=gone)
            try:
                with self.asking_for(wanted, unsure=unsure):
                    answers = ask(connection)
                    for told in answers:
                        session = self.take(told, connection)
                        if session is not None:
                            taken.append(session)
            except NotConnectedError:
                self.note_not_connected(connection)
                gone = connection
                continue
            except ServerUnavailableError:
                unsure = True
                if time.monotonic() + RETRY_SECONDS > deadline:
                    raise
                time.sleep(RETRY_SECONDS)
                continue
            if len(taken) == len(answers):
                return
            # Some have ended before they could be returned: what is left would be no batch.
            self.leave(taken)
            taken.clear()
            if time.monotonic() > deadline:
                raise ServerUnavailableError("What was acquired was lost at once.")
            time.sleep(AGAIN_SECONDS)

    def _release(self, sessions: Iterable[EditSession]) -> None:
        gone = [session for session in sessions if self.holdings.let_go(session)]
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


def _key(lock: Lock) -> LockKey:
    return lock.key, lock.level, lock.object_id
