"""A connected workstation: a plug-in edits through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from silo_client.api import Api
from silo_client.callbacks import (
    CLOSE_SECONDS,
    Dispatch,
    OnConflict,
    OnEvent,
    OnHandoffRequest,
    OnLost,
    OnRefused,
    Undelivered,
)
from silo_client.common import clock
from silo_client.connecting import Connecting
from silo_client.data import Wanted
from silo_client.errors import ClosedError
from silo_client.identity.instances import Instance
from silo_client.identity.registration import register
from silo_client.link.helper_link import END_SECONDS, await_ended
from silo_client.messages import Messages
from silo_client.network.time_limit import deadline, left
from silo_client.sessions.edit_session import EditSession, EditSessions
from silo_client.sessions.line import Line, OnWait
from silo_client.state import OnState
from silo_client.watching import OnChange, Watched

# Within this a call returns or raises. While the server cannot be reached, it goes on trying: a restart takes less.
PATIENCE_SECONDS = 15.0
FOREVER = float("inf")


class Workstation(Messages):
    """A connected workstation. Made by `connect`; close it, or use it in a `with` block.

    All methods may be called from any thread. Those that send a request wait for its answer. In a forked child of the
    process that has connected they raise `ForkedError`, and `close` and the end of a `with` block do nothing.
    """

    @classmethod
    def connect(
        cls,
        url: str,
        token: str,
        *,
        name: str = "",
        program: str = "",
        fingerprint: str = "",
        numbered: bool = False,
        ca_file: str | None = None,
        patience: float = PATIENCE_SECONDS,
        dispatch: Dispatch | None = None,
        python: str | None = None,
        cancel: threading.Event | None = None,
        on_lost: OnLost | None = None,
        on_conflict: OnConflict | None = None,
        on_conflict_over: OnConflict | None = None,
        on_handoff_request: OnHandoffRequest | None = None,
        on_event: OnEvent | None = None,
        on_refused: OnRefused | None = None,
        on_state: OnState | None = None,
        on_change: OnChange | None = None,
    ) -> Workstation:
        """Register this workstation, open its event stream, and return when it is open.

        Where this machine is a copy of one that is connected, it gets an identity of its own, which lasts, and
        `copied_from` names the other workstation. Within a minute after the machine was started, the call may first
        wait to learn whether the other machine is this one before its restart.

        Args:
            url: the server's URL.
            token: a bearer token of an editor.
            name: the name that others see; by default the machine's, and the program's.
            program: distinguishes the workstations of several programs on one machine.
            fingerprint: identifies this workstation, also after a restart; by default made of machine, user and
                program. No two machines may have the same: the instances of a workstation find each other by files in
                the user's folder.
            numbered: connect as the program's first numbered workstation that no other process is an instance of. Its
                `unclaimed` sessions are those of a dead process.
            ca_file: a PEM file of the certificates to trust; by default the usual ones.
            patience: seconds within which this call, and every other one by default, returns or raises, whatever the
                server does: while it cannot be reached, a call goes on trying. This one may wait longer where it has
                to learn whether another machine is this one.
            dispatch: takes a function and has it called in the thread in which callbacks are wanted, as `qt_dispatch()`
                and `tk_dispatch(root)` of `silo_client.gui` do; by default a thread of the workstation calls them.
            python: the absolute path of the helper's interpreter, where that of this program is not found.
            cancel: an event that another thread sets to have this call raise `CancelledError` at once; what was begun
                is ended in the background.
            on_lost: called with a session that was lost, and how.
            on_conflict: called with a session and one of its `conflicts` when that begins. Conflicts that a session
                has when it is acquired are in its `conflicts` only.
            on_conflict_over: called with the same when the conflict is over.
            on_handoff_request: called when another user asks for a session of this workstation.
            on_event: called with name and payload of every event for this workstation.
            on_refused: called when the server refuses the workstation for good: its token was withdrawn, for example.
            on_state: called with `connected` and `valid` when the workstation is connected, and whenever one of them
                changes until `close`. It gets the present state: one that is over before the call is not told.
            on_change: called with the picture of the items that `watch` names, and the part numbers of which it is
                another one than in the call before: none where only `stale` has changed.

        Raises:
            ConfigurationError: the server URL, the token or the CA file is invalid.
            ServerUnavailableError: the server cannot be reached in time.
            CancelledError: `cancel` was set.
            AuthenticationError, ForbiddenError: the token is not valid, or the fingerprint is another user's.
            IdentityInUseError: another machine is connected with the `fingerprint` that was given.
            HelperError: the helper process cannot be started.
            StateError: the state folder cannot be used.
            NoWindowError: as many instances of the workstation run as there may be.
        """
        connecting: Connecting[Workstation] = Connecting(patience)

        def connect() -> Workstation:
            api = Api(url, token, ca_file, patience)
            instance: Instance | None = None
            try:
                registration = register(
                    api, connecting.limit, patience, name, program, fingerprint, numbered=numbered
                )
                instance = registration.instance
                await_ended(registration.workstation["id"])
                connecting.check()
                workstation = cls(
                    api, registration, patience=patience, dispatch=dispatch, python=python
                )
            except BaseException:
                api.close()
                if instance is not None:
                    instance.close()
                raise
            workstation.on_lost = on_lost
            workstation.on_conflict = on_conflict
            workstation.on_conflict_over = on_conflict_over
            workstation.on_handoff_request = on_handoff_request
            workstation.on_event = on_event
            workstation.on_refused = on_refused
            workstation.on_state = on_state
            workstation.on_change = on_change
            connecting.wake = workstation.held.give_up
            try:
                workstation._link.start()
                connecting.check()
                workstation.held.await_connection(connecting.limit.deadline)
            except BaseException:
                workstation.close()
                raise
            return workstation

        return connecting.run(connect, cancel)

    # -- editing --

    def edit(
        self,
        part_number: str,
        *,
        level: str,
        object_id: str = "",
        cone: Sequence[str] = (),
        note: str | None = None,
        wait: bool | float = False,
        on_wait: OnWait | None = None,
        ask: str = "",
        patience: float | None = None,
    ) -> EditSession:
        """Acquire an edit session. Use it in a `with` block, or release it.

        A second call in the same process returns the same session, which then ends with the last of its blocks. Where
        another instance of this workstation has the session, it is `existing`, and the block does not end it.

        Args:
            part_number: the item.
            level: `sketch`, `partdesign` or `assembly`.
            object_id: the object; "" for the whole item.
            cone: the node keys that a change can reach.
            note: for everybody who sees the session ("until Friday"); None keeps the note of an existing session.
            wait: whether to stand in line where another workstation has the lock; a number limits the seconds.
            on_wait: called several times a second in this thread while waiting; an exception of it ends the waiting.
            ask: if not "", the holder is asked for a hand-off, with this message. Implies waiting.
            patience: seconds within which the call returns or raises, after the time to wait in line; by default the
                workstation's.

        Raises:
            HardInterferenceError: another workstation has the lock, and `wait` is False.
            WaitTimeoutError: the turn did not come in time.
            NotFoundError: there is no such item.
            ServerUnavailableError: there was no answer within `patience`. If the server has granted the session
                nevertheless, or does so later, the helper releases it.
        """
        wanted = Wanted(part_number, level, object_id, tuple(cone), note)
        if wait is False and not ask:
            [session] = self._acquirer.acquire(
                [wanted],
                lambda connection: [self.api.acquire(wanted, self.id, connection)],
                patience,
            )
            return session
        seconds = FOREVER if wait is True or wait is False else float(wait)
        line = Line(self._acquirer, wanted, on_wait, ask, patience)
        return line.wait(min(time.monotonic() + seconds, deadline()))

    def take_over(
        self, wanted: Wanted, session_id: str, reason: str, *, patience: float | None = None
    ) -> EditSession:
        """Force-release a session and begin one in its place, ahead of the line; else like `edit`. For admins."""
        return self._acquirer.take_over(wanted, session_id, reason, patience)

    def edit_all(self, wanted: Iterable[Wanted], *, patience: float | None = None) -> EditSessions:
        """Acquire up to 1,000 sessions, all or nothing, for example of an assembly.

        Raises:
            HardInterferenceError: some locks are held; `holders` names all of them. Nothing was acquired.
        """
        several = list(wanted)
        sessions = self._acquirer.acquire(
            several,
            lambda connection: self.api.acquire_batch(several, self.id, connection),
            patience,
        )
        return EditSessions(self._acquirer, sessions)

    def request_handoff(
        self, session_id: str, part_number: str, message: str, *, patience: float | None = None
    ) -> None:
        """Ask the holder of a session to hand it over to this workstation. `edit(ask=)` also waits for it."""
        self._acquirer.owner.check()
        with self._acquirer.within(patience):
            self.api.request_handoff(part_number, session_id, message, self.id)

    @property
    def sessions(self) -> list[EditSession]:
        """The sessions that this process has."""
        self._acquirer.owner.check()
        return self.held.sessions

    def unclaimed(self, *, patience: float | None = None) -> list[dict[str, Any]]:
        """Ask the server for sessions of this workstation that this process does not have.

        Another instance has acquired them, or a predecessor that died before its grace was over.
        """
        here = {session.id for session in self.sessions}
        with self._acquirer.within(patience):
            listed, _ = self.api.sessions(workstation=self.id)
        return [session for session in listed if session["session_id"] not in here]

    # -- watching --

    def watch(self, part_numbers: Iterable[str], *, wait: float = 0.0) -> Watched:
        """Watch items: who holds and who waits for each. Replaces the items watched until now; none ends it.

        Returns at once by default. The picture comes then, and each change after it: `on_change` is called with the
        new picture and the part numbers of which it is another one, and `watched` is the picture at any time.
        Changes that follow each other within a tenth of a second are one.

        Args:
            part_numbers: up to 1,000, in any spelling. Where there is no such item, or the text is no part number, its
                `problem` says so, and the others are watched.
            wait: seconds to wait for the picture of all of them.

        Returns:
            The picture. Where the wait was too short, or the server cannot be reached, `stale` says so.

        Raises:
            TypeError: it is no list of texts.
            InvalidRequestError: there are too many.
            ClosedError: the workstation was closed.
        """
        self._acquirer.owner.check()
        return self._watching.watch(part_numbers, wait)

    @property
    def watched(self) -> Watched:
        """The present picture of the watched items. Sends no request."""
        self._acquirer.owner.check()
        return self._watching.picture

    # -- presence --

    @property
    def connected(self) -> bool:
        """Whether the server certainly has this workstation's connection now."""
        return self._read_state()[0].connected

    @property
    def valid(self) -> bool:
        """Whether this workstation is connected, and each of its `sessions` is certainly held now.

        Without sessions it says the same as `connected`. A session that was lost is none of them any more.
        """
        return self._read_state()[0].valid

    @property
    def helper_pid(self) -> int:
        """The process id of the helper."""
        return self._link.pid

    @property
    def undelivered(self) -> list[Undelivered]:
        """Calls of callbacks that `dispatch` has refused, or has not had made for a minute: the latest 100 of each.

        Each is also logged as an error. Empty without a `dispatch`.
        """
        self._acquirer.owner.check()
        return self._callbacks.undelivered

    def touched(self) -> None:
        """Note that somebody uses this workstation. Call it at every input: it costs nothing.

        From the first call on, the server learns for how long the workstation was not touched.
        """
        self._acquirer.owner.check()
        self._link.memory.touched = clock.now()

    def close(self, *, patience: float | None = None) -> None:
        """Disconnect, which releases this process's sessions. A second call, or one in a forked child, does nothing.

        Args:
            patience: seconds within which the call returns; by default the workstation's. What is not released by then
                is released in the background, also after this program's end. A new `connect` as the same workstation
                first waits for that.
        """
        if self._closed or not self._acquirer.owner.is_here:
            return
        self._closed = True
        self._watching.close()
        self._state.close()
        self.held.give_up(ClosedError("The workstation was closed."))
        with self._acquirer.within(patience):
            self._link.close(left(END_SECONDS))
            for session in self.sessions:
                self.held.let_go(session)
            self.api.close()
            self._registration.instance.close()
            self._callbacks.close(left(CLOSE_SECONDS))

    def __enter__(self) -> Workstation:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Workstation {self.name!r} on {self.api.url}>"
