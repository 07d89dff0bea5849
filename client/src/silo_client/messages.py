"""What the helper tells a workstation: events, streams that open and end, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
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
from silo_client.common.protocol import Message, Plan
from silo_client.common.visible import get_logger
from silo_client.data import HandoffRequest
from silo_client.errors import HelperError, IdentityInUseError, SiloError, refusal
from silo_client.identity.registration import Registration
from silo_client.link.helper_link import HelperLink
from silo_client.sessions.acquire import Acquirer
from silo_client.sessions.conflicts import ConflictChange
from silo_client.sessions.edit_session import EditSession
from silo_client.sessions.held import HeldSessions
from silo_client.sessions.reconcile import Reconciler
from silo_client.state import UNKNOWN, OnState, State, StateWatch
from silo_client.watching import OnChange, WatchList

logger = get_logger()


class Messages:
    """A workstation as its helper sees it: handles the helper's messages, and calls the program's callbacks.

    `Workstation` extends it by what a program calls.

    Args:
        api: the server.
        registration: the registered workstation.
        patience: seconds for which a call goes on trying while the server cannot be reached.
        dispatch: see `Workstation.connect`.
        python: see `Workstation.connect`.
    """

    def __init__(
        self,
        api: Api,
        registration: Registration,
        *,
        patience: float,
        dispatch: Dispatch | None,
        python: str | None,
    ) -> None:
        self.api = api
        instance = registration.instance
        self.id = str(registration.workstation["id"])
        self.name = str(registration.workstation["name"])
        # The workstation whose machine this one turned out, just now, to be a copy of; "" if it is no copy.
        self.copied_from = registration.copied_from
        self.held = HeldSessions(lambda: instance.sole)
        self.on_lost: OnLost | None = None
        self.on_conflict: OnConflict | None = None
        self.on_conflict_over: OnConflict | None = None
        self.on_handoff_request: OnHandoffRequest | None = None
        self.on_event: OnEvent | None = None
        self.on_refused: OnRefused | None = None
        self.on_change: OnChange | None = None
        self._registration = registration
        self._closed = False
        memory = instance.new_memory()
        plan = Plan(
            url=api.url,
            token=api.token,
            ca_file=str(Path(api.ca_file).absolute()) if api.ca_file else None,
            workstation_id=self.id,
            memory=str(memory.path),
            touched=str(instance.touched.file),
            running=registration.running,
            files=[str(file) for file in instance.files],
        )
        self._link = HelperLink(
            plan, memory, self._on_message, lambda: self.held.position, python, instance.new_memory
        )
        self._callbacks = Callbacks(dispatch)
        self._watching = WatchList(self._link.send, self._callbacks.call, lambda: self.on_change)
        self._reconciler = Reconciler(
            api, self.id, self.held, self._report_lost, self._report_changes
        )
        self._acquirer = Acquirer(
            self.id, api, self._link, self.held, self._reconciler, instance, patience
        )
        self._state = StateWatch(self._read_state, self._callbacks.call)

    @property
    def on_state(self) -> OnState | None:
        """The callback for `connected` and `valid`: called once it is set, and whenever one of them changes."""
        return self._state.callback

    @on_state.setter
    def on_state(self, callback: OnState | None) -> None:
        self._acquirer.owner.check()
        self._state.tell(callback)

    def _read_state(self) -> tuple[State, float]:
        """Return `connected` and `valid`, and until when they are certain."""
        if not self._acquirer.owner.is_here:
            return UNKNOWN, 0.0
        # In this order: what may wait for messages, what the messages have changed, and what time it is.
        valid_until = self._link.valid_until()
        confirmed = not self.held.unconfirmed
        connected = clock.now() < valid_until
        return State(connected, connected and confirmed), valid_until

    def _on_message(self, message: Message) -> None:
        """Handle a message. Waits for nothing."""
        try:
            self._handle(message)
        except Exception:
            logger.exception("a message of the helper could not be handled: %s", message)
        self._state.look()

    def _handle(self, message: Message) -> None:
        self._watching.hear(message)
        if "event" in message:
            self.held.position = message["id"]
            self._event(message["event"], message["data"])
        elif "open" in message:
            self.held.position = message["id"]
            # Before a session is acquired by this connection.
            self._link.note(connected=[message["open"]["connection_id"]])
            opening = message["open"]
            self._report_changes(self.held.opened(opening["connection_id"], opening["sessions"]))
            self._reconciler.soon()
        elif "lapsed" in message:
            self.held.mark_unconfirmed()
            self._reconciler.soon()
        elif "vanished" in message:
            self._registration.renew()
        elif "releasing" in message:
            self.held.releasing(message["releasing"])
        elif "done" in message:
            self._link.note(**message["done"])
        elif "interrupted" in message:
            logger.info("the event stream is replaced: %s", message["interrupted"])
            if message["ended"]:
                self.held.interrupted()
        elif "trying" in message:
            logger.info("no event stream yet: %s", message["trying"])
        elif "refused" in message:
            error = refusal(
                message["refused"], {"error": message["code"], "message": message["message"]}
            )
            self._give_up(error or SiloError(message["message"]))
        elif "died" in message:
            self.held.interrupted()
            logger.warning("the helper has ended (%s): %s", message["died"], message["why"])
            if message["final"]:
                why = f"The helper process did not start ({message['died']}): {message['why']}"
                self._give_up(HelperError(why))

    def _give_up(self, why: SiloError) -> None:
        if isinstance(why, IdentityInUseError):
            why = why.saying(
                f"While this machine was cut off, a copy of it became the workstation {self.name}:"
                " connect again; this machine then gets an identity of its own."
            )
        self.held.give_up(why)
        if isinstance(why, IdentityInUseError):
            # Its sessions have ended with that.
            self.held.mark_unconfirmed()
            self._reconciler.soon()
        self._callbacks.call("on_refused", self.on_refused, why)

    def _event(self, name: str, data: Mapping[str, Any]) -> None:
        if name == "edit.session_released":
            lost = self.held.ended(data["session_id"], data["reason"])
            if lost is not None:
                self._report_lost(lost)
        elif name == "edit.force_released":
            self.held.forced(data)
        elif name == "stream-reset":
            # Ends of sessions may be among the events that the log no longer has.
            self.held.missed()
            self._reconciler.soon()
        elif name == "edit.interference":
            self._report_changes(self.held.interfering(data))
        elif name == "edit.interference_resolved":
            self._report_changes(self.held.resolved(data))
        elif name == "edit.session_granted":
            self.held.granted(data)
        elif name == "edit.handoff_requested":
            request = HandoffRequest.from_payload(data)
            self._callbacks.call("on_handoff_request", self.on_handoff_request, request)
        self._callbacks.call("on_event", self.on_event, name, data)

    def _report_changes(self, changes: list[ConflictChange]) -> None:
        for change in changes:
            name = "on_conflict" if change.begins else "on_conflict_over"
            self._callbacks.call(name, getattr(self, name), change.session, change.conflict)

    def _report_lost(self, session: EditSession) -> None:
        self._link.send(drop=[session.id])
        self._callbacks.call("on_lost", self.on_lost, session, session.lost)
