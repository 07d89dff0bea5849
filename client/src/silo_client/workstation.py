"""A workstation: what a plug-in connects as, and by which it edits."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Callable

from silo_client import clock
from silo_client.api import Api
from silo_client.callbacks import Callbacks, Dispatch
from silo_client.data import HandoffRequest, Lock, Lost, Wanted
from silo_client.edit_session import EditSession, EditSessions
from silo_client.errors import (
    ApiError,
    HelperError,
    NotConnectedError,
    NotFoundError,
    ServerUnavailableError,
    refusal,
)
from silo_client.fingerprint import default_fingerprint, default_name
from silo_client.helper import Message, Plan
from silo_client.helper_link import HelperLink
from silo_client.holdings import Holdings
from silo_client.shared import Shared
from silo_client.waiting import Line, OnWait
from silo_client.windows import Window

logger = logging.getLogger("silo_client")

# How long a call goes on trying while the server cannot be reached: its restart takes less.
PATIENCE_SECONDS = 15.0
RETRY_SECONDS = 0.5
FOREVER = float("inf")

OnLost = Callable[[EditSession, Lost], Any]
OnHandoffRequest = Callable[[HandoffRequest], Any]
OnEvent = Callable[[str, Mapping[str, Any]], Any]
OnRefused = Callable[[Exception], Any]


class Workstation:
    """A connected workstation. Made by `connect`; close it, or use it in a `with` block.

    All methods may be called from any thread. Those that ask the server wait for its answer.
    """

    def __init__(
        self,
        api: Api,
        told: Mapping[str, Any],
        window: Window,
        *,
        patience: float,
        dispatch: Dispatch | None,
        python: str | None,
        on_lost: OnLost | None,
        on_handoff_request: OnHandoffRequest | None,
        on_event: OnEvent | None,
        on_refused: OnRefused | None,
    ) -> None:
        self.api = api
        self.id = str(told["id"])
        self.name = str(told["name"])
        self._window = window
        self.holdings = Holdings(self.id, sole=window.sole)
        self.on_lost = on_lost
        self.on_handoff_request = on_handoff_request
        self.on_event = on_event
        self.on_refused = on_refused
        self._patience = patience
        # In line for these, places that are given up and may have had their turn in the same moment.
        self._refused: set[Lock] = set()
        # In line for these now, each with its part number.
        self._places: dict[str, str] = {}
        self._settling = threading.Lock()
        self._settler: threading.Thread | None = None
        self._to_settle = False
        self._closed = False
        self._callbacks = Callbacks(dispatch)
        shared = Shared()
        self._link = HelperLink(
            Plan(
                url=api.url,
                token=api.token,
                ca_file=api.ca_file,
                workstation_id=self.id,
                shared=str(shared.path),
                touched=str(window.touched.file),
            ),
            shared,
            self._told,
            self._state,
            python,
        )
        self._link.start()

    @classmethod
    def connect(
        cls,
        url: str,
        token: str,
        *,
        name: str = "",
        program: str = "",
        fingerprint: str = "",
        ca_file: str | None = None,
        patience: float = PATIENCE_SECONDS,
        dispatch: Dispatch | None = None,
        python: str | None = None,
        on_lost: OnLost | None = None,
        on_handoff_request: OnHandoffRequest | None = None,
        on_event: OnEvent | None = None,
        on_refused: OnRefused | None = None,
    ) -> Workstation:
        """Register this workstation, open its event stream, and return when it is open.

        Args:
            url: the server's address.
            token: a bearer token of an editor.
            name: what others see; the machine's name, and the program's, without it.
            program: tells the workstations of several programs on one machine apart.
            fingerprint: who this workstation is, the same after a restart; of machine, user and program without it.
            ca_file: the certificates to trust, in a PEM file; the usual ones without it.
            patience: seconds for which a call goes on trying while the server cannot be reached.
            dispatch: takes a function and has it called in the thread in which callbacks are wanted; without it a
                thread of the workstation calls them.
            python: the interpreter to run the helper with, where none is found beside the program.
            on_lost: called with a session that this workstation no longer has, and how it was lost.
            on_handoff_request: called when somebody asks for a session of it.
            on_event: called with name and data of every event that the server tells this workstation.
            on_refused: called when the server will not have the workstation any more: its token was withdrawn, say.

        Raises:
            ServerUnavailableError: the server cannot be reached in time.
            AuthenticationError, ForbiddenError: the token is not good, or the fingerprint is somebody else's.
            HelperError: the helper process cannot be started.
        """
        fingerprint = fingerprint or default_fingerprint(program)
        api = Api(url, token, ca_file)
        window = Window(fingerprint, api.url)
        return cls.of_window(
            window,
            api,
            name=name or default_name(program),
            fingerprint=fingerprint,
            patience=patience,
            dispatch=dispatch,
            python=python,
            on_lost=on_lost,
            on_handoff_request=on_handoff_request,
            on_event=on_event,
            on_refused=on_refused,
        )

    @classmethod
    def of_window(
        cls,
        window: Window,
        api: Api,
        *,
        name: str,
        fingerprint: str,
        patience: float = PATIENCE_SECONDS,
        dispatch: Dispatch | None = None,
        python: str | None = None,
        on_lost: OnLost | None = None,
        on_handoff_request: OnHandoffRequest | None = None,
        on_event: OnEvent | None = None,
        on_refused: OnRefused | None = None,
    ) -> Workstation:
        """Connect, see `connect`, as a window that has been opened. It and `api` are closed with the workstation."""
        deadline = time.monotonic() + patience
        try:
            told = api.register(name, fingerprint, deadline)
            workstation = cls(
                api,
                told,
                window,
                patience=patience,
                dispatch=dispatch,
                python=python,
                on_lost=on_lost,
                on_handoff_request=on_handoff_request,
                on_event=on_event,
                on_refused=on_refused,
            )
        except BaseException:
            api.close()
            window.close()
            raise
        try:
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
            wait: whether to stand in line where somebody has it; a number is for how many seconds at most.
            on_wait: called several times a second in this thread while waiting; what it raises ends the waiting.
            ask: if not "", the holder is asked for a hand-off, with this message. Implies waiting.

        Raises:
            HardInterferenceError: another workstation has it, and `wait` is False.
            WaitTimeoutError: it was not free in time.
            NotFoundError: there is no such item.
            ServerUnavailableError: the server could not be reached for as long as `patience`. It may have granted
                the session nevertheless: `unclaimed` tells.
        """
        wanted = Wanted(part_number, level, object_id, tuple(cone))
        self._refused.discard(wanted.lock)
        if wait is False and not ask:
            [session] = self._acquire(
                [wanted], lambda connection: [self.api.acquire(wanted, self.id, connection)]
            )
            return session
        seconds = FOREVER if wait is True or wait is False else float(wait)
        return Line(self, wanted, on_wait, ask).wait(time.monotonic() + seconds)

    def edit_all(self, wanted: Iterable[Wanted]) -> EditSessions:
        """Acquire up to 1,000 sessions, all or nothing: checking out an assembly.

        Raises:
            HardInterferenceError: some are held, all of whose `holders` it names; nothing was acquired.
        """
        several = list(wanted)
        sessions = self._acquire(
            several, lambda connection: self.api.acquire_batch(several, self.id, connection)
        )
        return EditSessions(self, sessions)

    def request_handoff(self, session_id: str, part_number: str, message: str) -> None:
        """Ask the holder of a session to hand it over to this workstation. `ask` of `edit` waits for it as well."""
        self.api.request_handoff(part_number, session_id, message, self.id)

    @property
    def sessions(self) -> list[EditSession]:
        """The sessions that this process has."""
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
        self._link.shared.touched = clock.now()

    def close(self) -> None:
        """Disconnect. What this process has acquired is released."""
        if self._closed:
            return
        self._closed = True
        self._link.close()
        for session in self.sessions:
            self.holdings.let_go(session)
        self.api.close()
        self._window.close()
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

    # -- for sessions and lines --

    def is_sure_of(self, session: EditSession) -> bool:
        """See `EditSession.valid`."""
        # First what may wait for news, then what the news have changed.
        return clock.now() < self._link.sure_until() and self.holdings.is_sure_of(session)

    def take(
        self, told: Mapping[str, Any], connection: str, *, own: bool = False
    ) -> EditSession | None:
        """Have a session that the server has given; None if it has ended already. See `Holdings.take`."""
        session = self.holdings.take(self, told, connection, own=own)
        if session is None:
            return None
        if not session.existing:
            self._link.send({"hold": [session.id]})
        if session.doubt:
            self._settle(time.monotonic() + self._patience)
            self._settle_soon()
        return None if session.lost else session

    @contextmanager
    def asking_for(self, wanted: Iterable[Wanted]) -> Iterator[None]:
        """Let the helper know of what is asked for: if nobody lives to read the answer, it releases that."""
        locks = [one.lock for one in wanted]
        told = [dataclasses.astuple(lock) for lock in locks]
        self._link.send({"asking": told})
        try:
            yield
        finally:
            # What another window acquired in this moment is not to be released.
            self._link.send({"answered": told, "drop": self.holdings.existing_ids(locks)})

    def stands(self, place: str, part_number: str) -> None:
        """It has a place in line, which the helper gives up if it dies."""
        self._places[place] = part_number
        self._link.send({"stand": {place: part_number}})

    def stands_no_more(self, place: str) -> None:
        """The place is given up, or its turn has come."""
        self._places.pop(place, None)
        self._link.send({"unstand": [place]})

    def release(self, session: EditSession) -> None:
        """See `EditSession.release`."""
        self._release([session])

    def leave(self, sessions: Iterable[EditSession]) -> None:
        """`with` blocks of these have ended."""
        self._release([session for session in sessions if self.holdings.leave(session)])

    def hand_over(self, session: EditSession, to_workstation_id: str) -> None:
        """See `EditSession.hand_over`."""
        if not self.holdings.let_go(session):
            raise NotFoundError(404, "not_found", "The session has ended.", {})
        try:
            self.api.hand_off(session.part_number, session.id, to_workstation_id)
        except ServerUnavailableError:
            # Perhaps it was done.
            self.holdings.keep(session)
            self.holdings.doubt([session])
            self._settle_soon()
            raise
        except ApiError:
            self.holdings.keep(session)
            raise
        self._link.send({"drop": [session.id]})

    def refuse(self, lock: Lock) -> None:
        """Release what may still be granted by a place in line that could not be given up."""
        self._refused.add(lock)

    # -- inside --

    def _acquire(
        self, wanted: Sequence[Wanted], ask: Callable[[str], list[dict[str, Any]]]
    ) -> list[EditSession]:
        """Acquire by an open connection; wait for one, and repeat what may not have arrived."""
        deadline = time.monotonic() + self._patience
        elsewhere = {one.lock for one in wanted if self.holdings.is_held_elsewhere(one.lock)}
        gone: str | None = None
        repeated = False
        while True:
            connection = self.holdings.await_connection(deadline, other_than=gone)
            try:
                with self.asking_for(wanted):
                    answers = ask(connection)
                    # What exists only since the request before, which nobody answered, is its.
                    taken = [
                        self.take(
                            told,
                            connection,
                            own=repeated and Lock.of(told) not in elsewhere,
                        )
                        for told in answers
                    ]
            except NotConnectedError:
                # The helper learns of it too, and opens another one.
                gone = connection
                continue
            except ServerUnavailableError:
                if time.monotonic() + RETRY_SECONDS > deadline:
                    raise
                repeated = True
                time.sleep(RETRY_SECONDS)
                continue
            sessions = [session for session in taken if session is not None]
            if len(sessions) == len(answers):
                return sessions
            # Some have ended before they could be returned: what is left would be no batch.
            self._release(sessions)
            if time.monotonic() > deadline:
                raise ServerUnavailableError("What was acquired was lost at once.")

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
        except (ApiError, ServerUnavailableError) as error:
            logger.warning("a release goes on in the background: %s", error)
            self._link.send({"release": ids})
        self._link.send({"drop": ids})

    def _told(self, message: Message) -> None:
        """What the helper tells. Waits for nothing."""
        try:
            self._hear(message)
        except Exception:
            logger.exception("what the helper told was not understood: %r", message)

    def _hear(self, message: Message) -> None:
        if "event" in message:
            self.holdings.position = message["id"] or self.holdings.position
            self._event(message["event"], message["data"])
        elif "open" in message:
            opening = message["open"]
            for told in opening["sessions"]:
                self._perhaps_refuse(told)
            self.holdings.opened(opening["connection_id"], opening["sessions"])
            self._settle_soon()
        elif "lapsed" in message:
            self.holdings.doubt()
            self._settle_soon()
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
            self.holdings.give_up(error)
            self._callbacks.call(self.on_refused, error)
        elif "died" in message:
            self.holdings.interrupted()
            logger.warning("the helper has ended (%s): %s", message["died"], message["why"])
            if message["final"]:
                failure = HelperError(
                    f"The helper process did not start ({message['died']}): {message['why']}"
                )
                self.holdings.give_up(failure)
                self._callbacks.call(self.on_refused, failure)

    def _event(self, name: str, data: Mapping[str, Any]) -> None:
        if name == "edit.session_released":
            lost = self.holdings.ended(data["session_id"], data["reason"])
            self._link.send({"drop": [data["session_id"]]})
            if lost is not None:
                self._callbacks.call(self.on_lost, lost, lost.lost)
        elif name == "edit.session_acquired":
            self.holdings.began(data)
        elif name == "edit.force_released":
            self.holdings.forced(data)
        elif name == "stream-reset":
            # Ends may be among what the log no longer has.
            self.holdings.doubt()
            self._settle_soon()
        elif name == "edit.session_granted":
            if not self._perhaps_refuse(data):
                self.holdings.granted(data)
        elif name == "edit.handoff_requested":
            self._callbacks.call(self.on_handoff_request, HandoffRequest.of(data))
        self._callbacks.call(self.on_event, name, data)

    def _perhaps_refuse(self, told: Mapping[str, Any]) -> bool:
        """Release what nobody waits for any more."""
        lock = Lock.of(told)
        if lock not in self._refused:
            return False
        self._refused.discard(lock)
        self._link.send({"release": [told["session_id"]]})
        return True

    def _state(self) -> dict[str, Any]:
        """What a new helper has to know."""
        return {
            "last_event_id": self.holdings.position,
            "holds": self.holdings.own_ids,
            "places": dict(self._places),
        }

    def _settle_soon(self) -> None:
        """Settle what is in doubt, in a thread of its own."""
        with self._settling:
            self._to_settle = True
            if self._settler is None and self.holdings.doubted:
                self._settler = threading.Thread(
                    target=self._keep_settling, daemon=True, name="silo sessions"
                )
                self._settler.start()

    def _keep_settling(self) -> None:
        while True:
            with self._settling:
                if not self._to_settle or self._closed:
                    self._settler = None
                    return
                self._to_settle = False
            self._settle()

    def _settle(self, deadline: float = FOREVER) -> None:
        """Ask the server about the sessions in doubt until there are none, or `time.monotonic` is at the deadline."""
        while self.holdings.doubted and not self._closed and time.monotonic() < deadline:
            try:
                self._ask_about(self.holdings.doubted)
            except ServerUnavailableError:
                time.sleep(RETRY_SECONDS)
            except ApiError as error:
                # Nobody will tell: the token was withdrawn, say.
                for session in self.holdings.doubted:
                    self._lose(session, Lost("unknown", note=error.message))

    def _ask_about(self, doubted: Mapping[EditSession, int]) -> None:
        told, _ = self.api.sessions(workstation=self.id)
        tokens = {one["session_id"]: int(one["fencing_token"]) for one in told}
        for session, doubt in doubted.items():
            if session.id in tokens:
                self.holdings.settle(session, doubt, tokens[session.id])
            else:
                self._lose(session, self._how_it_ended(session))

    def _lose(self, session: EditSession, lost: Lost) -> None:
        if self.holdings.lose(session, lost):
            self._link.send({"drop": [session.id]})
            self._callbacks.call(self.on_lost, session, lost)

    def _how_it_ended(self, session: EditSession) -> Lost:
        with suppress(ApiError, ServerUnavailableError):
            records = self.api.history(item=session.part_number, workstation=self.id, limit=100)
            for record in records:
                if record["session_id"] == session.id:
                    return Lost(record["reason"], record["ended_by"], record["note"])
        return Lost("unknown")
