"""A workstation: what a plug-in connects as, and by which it edits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from silo_client.api import Api
from silo_client.callbacks import (
    Callbacks,
    Dispatch,
    OnConflict,
    OnEvent,
    OnHandoffRequest,
    OnLost,
    OnRefused,
)
from silo_client.common import clock
from silo_client.common.visible import get_logger
from silo_client.data import HandoffRequest, Wanted
from silo_client.errors import (
    ClosedError,
    HelperError,
    IdentityInUseError,
    SiloError,
    refusal,
)
from silo_client.helper.main import Message, Plan
from silo_client.identity.instances import Window
from silo_client.identity.registration import Registered, register
from silo_client.link.helper_link import HelperLink
from silo_client.sessions.acquire import Acquiring
from silo_client.sessions.conflicts import Change
from silo_client.sessions.edit_session import EditSession, EditSessions
from silo_client.sessions.held import Holdings
from silo_client.sessions.line import Line, OnWait
from silo_client.sessions.reconcile import Settling

logger = get_logger()

# How long a call goes on trying while the server cannot be reached: its restart takes less.
PATIENCE_SECONDS = 15.0
FOREVER = float("inf")


class Workstation:
    """A connected workstation. Made by `connect`; close it, or use it in a `with` block.

    All methods may be called from any thread. Those that ask the server wait for its answer. In a forked child of the
    process that has connected they raise `ForkedError`, and `close` and the end of a `with` block do nothing.
    """

    def __init__(
        self,
        api: Api,
        registered: Registered,
        *,
        patience: float,
        dispatch: Dispatch | None,
        python: str | None,
    ) -> None:
        self.api = api
        window = registered.window
        self.id = str(registered.told["id"])
        self.name = str(registered.told["name"])
        # The workstation that this machine turned out, just now, to be a copy of: "" if it did not.
        self.copied_from = registered.copied_from
        self.holdings = Holdings(self.id, lambda: window.sole)
        self.on_lost: OnLost | None = None
        self.on_conflict: OnConflict | None = None
        self.on_conflict_over: OnConflict | None = None
        self.on_handoff_request: OnHandoffRequest | None = None
        self.on_event: OnEvent | None = None
        self.on_refused: OnRefused | None = None
        self._registered = registered
        self._closed = False
        shared = window.new_memory()
        plan = Plan(
            url=api.url,
            token=api.token,
            ca_file=str(Path(api.ca_file).absolute()) if api.ca_file else None,
            workstation_id=self.id,
            memory=str(shared.path),
            touched=str(window.touched.file),
            running=registered.running,
            files=[str(file) for file in window.files],
        )
        self._link = HelperLink(
            plan, shared, self._told, lambda: self.holdings.position, python, window.new_memory
        )
        self._callbacks = Callbacks(dispatch)
        self._settling = Settling(api, self.id, self.holdings, self._tell_lost, self._tell_changes)
        self._acquiring = Acquiring(
            self.id, api, self._link, self.holdings, self._settling, window, patience
        )

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
        on_lost: OnLost | None = None,
        on_conflict: OnConflict | None = None,
        on_conflict_over: OnConflict | None = None,
        on_handoff_request: OnHandoffRequest | None = None,
        on_event: OnEvent | None = None,
        on_refused: OnRefused | None = None,
    ) -> Workstation:
        """Register this workstation, open its event stream, and return when it is open.

        Where this machine is a copy of one that is connected, it is given an identity of its own, which stays:
        `copied_from` of what is returned names the other workstation. Within a minute after the machine was started it
        may be waited for whether the other is this machine, before that.

        Args:
            url: the server's address.
            token: a bearer token of an editor.
            name: what others see; the machine's name, and the program's, without it.
            program: tells the workstations of several programs on one machine apart.
            fingerprint: who this workstation is, the same after a restart; of machine, user and program without it. No
                two machines may have the same: windows find each other by files in the user's folder.
            numbered: be a workstation of one's own among those of this program: the first, by a number, that no other
                process is. What it finds there, see `unclaimed`, is left of a dead one.
            ca_file: the certificates to trust, in a PEM file; the usual ones without it.
            patience: seconds for which a call goes on trying while the server cannot be reached.
            dispatch: takes a function and has it called in the thread in which callbacks are wanted; without it a
                thread of the workstation calls them.
            python: the whole path of the interpreter to run the helper with, where that of this program is not found.
            on_lost: called with a session that this workstation no longer has, and how it was lost.
            on_conflict: called with a session and one of its `conflicts` when that begins to interfere with it. Those
                that it has when it is acquired are in its `conflicts` only.
            on_conflict_over: called with the same when it interferes no more.
            on_handoff_request: called when somebody asks for a session of it.
            on_event: called with name and data of every event that the server tells this workstation.
            on_refused: called when the server will not have the workstation any more: its token was withdrawn, say.

        Raises:
            ConfigurationError: the address, the token or `ca_file` is none.
            ServerUnavailableError: the server cannot be reached in time.
            AuthenticationError, ForbiddenError: the token is not good, or the fingerprint is somebody else's.
            IdentityInUseError: another machine is connected under the `fingerprint` that was given.
            HelperError: the helper process cannot be started.
            StateError, NoWindowError: the folder for what windows know of each other cannot be used, or is full.
        """
        api = Api(url, token, ca_file)
        window: Window | None = None
        try:
            registered = register(api, patience, name, program, fingerprint, numbered=numbered)
            window = registered.window
            # Waiting for another machine to come back, or not, is no waiting for the server.
            deadline = time.monotonic() + patience
            workstation = cls(api, registered, patience=patience, dispatch=dispatch, python=python)
        except BaseException:
            api.close()
            if window is not None:
                window.close()
            raise
        workstation.on_lost = on_lost
        workstation.on_conflict = on_conflict
        workstation.on_conflict_over = on_conflict_over
        workstation.on_handoff_request = on_handoff_request
        workstation.on_event = on_event
        workstation.on_refused = on_refused
        try:
            workstation._link.start()
            workstation.holdings.await_connection(deadline)
        except BaseException:
            workstation.close()
            raise
        return workstation

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
    ) -> EditSession:
        """Acquire an edit session. Use what is returned in a `with` block, or release it.

        Asking again in the same process gives the same session, which then ends with the last of its blocks. Where
        another window of this workstation has it, it is `existing`, and the end of the block leaves it alone.

        Args:
            part_number: the item.
            level: `sketch`, `partdesign` or `assembly`.
            object_id: the object; "" for the whole item.
            cone: the node keys that a change of it can reach.
            note: for everybody who sees the session ("until Friday"); None keeps the one that it has.
            wait: whether to stand in line where somebody has it; a number is for how many seconds at most.
            on_wait: called several times a second in this thread while waiting; what it raises ends the waiting.
            ask: if not "", the holder is asked for a hand-off, with this message. Implies waiting.

        Raises:
            HardInterferenceError: another workstation has it, and `wait` is False.
            WaitTimeoutError: it was not free in time.
            NotFoundError: there is no such item.
            ServerUnavailableError: the server could not be reached for as long as `patience`. If it has granted the
                session nevertheless, the helper releases it.
        """
        wanted = Wanted(part_number, level, object_id, tuple(cone), note)
        if wait is False and not ask:
            [session] = self._acquiring.acquire(
                [wanted], lambda connection: [self.api.acquire(wanted, self.id, connection)]
            )
            return session
        seconds = FOREVER if wait is True or wait is False else float(wait)
        return Line(self._acquiring, wanted, on_wait, ask).wait(time.monotonic() + seconds)

    def take_over(self, wanted: Wanted, session_id: str, reason: str) -> EditSession:
        """End somebody's session by force and have one in its place, ahead of the line: for admins. As `edit` else."""
        return self._acquiring.take_over(wanted, session_id, reason)

    def edit_all(self, wanted: Iterable[Wanted]) -> EditSessions:
        """Acquire up to 1,000 sessions, all or nothing: checking out an assembly.

        Raises:
            HardInterferenceError: some are held, all of whose `holders` it names; nothing was acquired.
        """
        several = list(wanted)
        sessions = self._acquiring.acquire(
            several, lambda connection: self.api.acquire_batch(several, self.id, connection)
        )
        return EditSessions(self._acquiring, sessions)

    def request_handoff(self, session_id: str, part_number: str, message: str) -> None:
        """Ask the holder of a session to hand it over to this workstation. `ask` of `edit` waits for it as well."""
        self._acquiring.owner.check()
        self.api.request_handoff(part_number, session_id, message, self.id)

    @property
    def sessions(self) -> list[EditSession]:
        """The sessions that this process has."""
        self._acquiring.owner.check()
        return self.holdings.sessions

    def unclaimed(self) -> list[dict[str, Any]]:
        """Ask the server what this workstation holds and this process does not have.

        That is what another window of it acquired, or a predecessor that died before a grace was over.
        """
        here = {session.id for session in self.sessions}
        told, _ = self.api.sessions(workstation=self.id)
        return [session for session in told if session["session_id"] not in here]

    # -- presence --

    @property
    def connected(self) -> bool:
        """Whether the server certainly has this workstation's connection now."""
        return clock.now() < self._link.sure_until()

    @property
    def helper_pid(self) -> int:
        """The process id of the helper."""
        return self._link.pid

    def touched(self) -> None:
        """Say that somebody uses this workstation. Call it as often as there is input: it costs nothing.

        From the first call on the server is told for how long nobody has touched it; without one, nothing is said.
        """
        self._acquiring.owner.check()
        self._link.shared.touched = clock.now()

    def close(self) -> None:
        """Disconnect. What this process has acquired is released. A second time, or in a forked child, nothing is."""
        if self._closed or not self._acquiring.owner.is_here:
            return
        self._closed = True
        self.holdings.give_up(ClosedError("The workstation was closed."))
        self._link.close()
        for session in self.sessions:
            self.holdings.let_go(session)
        self.api.close()
        self._registered.window.close()
        self._callbacks.close()

    def __enter__(self) -> Workstation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Workstation {self.name!r} on {self.api.url}>"

    # -- inside --

    def _told(self, message: Message) -> None:
        """What the helper tells. Waits for nothing."""
        try:
            self._hear(message)
        except Exception:
            logger.exception("what the helper told was not understood: %s", message)

    def _hear(self, message: Message) -> None:
        if "event" in message:
            self.holdings.position = message["id"]
            self._event(message["event"], message["data"])
        elif "open" in message:
            self.holdings.position = message["id"]
            # Before anything is acquired by it.
            self._link.note(connected=[message["open"]["connection_id"]])
            opening = message["open"]
            self._tell_changes(self.holdings.opened(opening["connection_id"], opening["sessions"]))
            self._settling.soon()
        elif "lapsed" in message:
            self.holdings.doubt()
            self._settling.soon()
        elif "vanished" in message:
            self._registered.renew()
        elif "releasing" in message:
            self.holdings.releasing(message["releasing"])
        elif "done" in message:
            self._link.note(**message["done"])
        elif "interrupted" in message:
            logger.info("the event stream is replaced: %s", message["interrupted"])
            if message["ended"]:
                self.holdings.interrupted()
        elif "trying" in message:
            logger.info("no event stream yet: %s", message["trying"])
        elif "refused" in message:
            error = refusal(
                message["refused"], {"error": message["code"], "message": message["message"]}
            )
            self._give_up(error or SiloError(message["message"]))
        elif "died" in message:
            self.holdings.interrupted()
            logger.warning("the helper has ended (%s): %s", message["died"], message["why"])
            if message["final"]:
                why = f"The helper process did not start ({message['died']}): {message['why']}"
                self._give_up(HelperError(why))

    def _give_up(self, why: SiloError) -> None:
        if isinstance(why, IdentityInUseError):
            why = why.saying(
                f"While this machine was cut off, a copy of it became the workstation {self.name}:"
                " connect again, as another one."
            )
        self.holdings.give_up(why)
        if isinstance(why, IdentityInUseError):
            # What it had has ended with that.
            self.holdings.doubt()
            self._settling.soon()
        self._callbacks.call(self.on_refused, why)

    def _event(self, name: str, data: Mapping[str, Any]) -> None:
        if name == "edit.session_released":
            lost = self.holdings.ended(data["session_id"], data["reason"])
            if lost is not None:
                self._tell_lost(lost)
        elif name == "edit.force_released":
            self.holdings.forced(data)
        elif name == "stream-reset":
            # Ends may be among what the log no longer has.
            self.holdings.missed()
            self._settling.soon()
        elif name == "edit.interference":
            self._tell_changes(self.holdings.interfering(data))
        elif name == "edit.interference_resolved":
            self._tell_changes(self.holdings.resolved(data))
        elif name == "edit.session_granted":
            self.holdings.granted(data)
        elif name == "edit.handoff_requested":
            self._callbacks.call(self.on_handoff_request, HandoffRequest.of(data))
        self._callbacks.call(self.on_event, name, data)

    def _tell_changes(self, changes: list[Change]) -> None:
        for change in changes:
            callback = self.on_conflict if change.begins else self.on_conflict_over
            self._callbacks.call(callback, change.session, change.conflict)

    def _tell_lost(self, session: EditSession) -> None:
        self._link.send(drop=[session.id])
        self._callbacks.call(self.on_lost, session, session.lost)
