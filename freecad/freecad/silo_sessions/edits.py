"""What this FreeCAD edits and holds: entering and leaving an edit, direct changes, saving, losing, handing over.

All methods are called in the GUI thread, and none of them waits longer than `ACQUIRE_SECONDS`. This module does not
know FreeCAD: `Server` is the connection, `View` is what the user sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from silo_client import (
    EditSession,
    HandoffRequest,
    HardInterferenceError,
    Holder,
    Lock,
    Lost,
)

from .interfaces import Server, View
from .places import Place
from .reasons import lost_text, reason
from .worker import Outcome

# The GUI waits so long for an answer when an edit is entered; a server answers in 20 ms.
ACQUIRE_SECONDS = 1.0

# Ways of losing a session after which it may be acquired again: nobody took it on purpose.
COME_BACK = ("disconnected", "expired", "unknown")

LATE = f"the server did not answer within {ACQUIRE_SECONDS:g} s"


@dataclass(eq=False)
class Hold:
    """A lock in use: held, or wanted as soon as the server can be reached.

    Args:
        place: the locked object.
        session: the session; None while there is none.
        editing: the object is in edit.
        changed: it has changes that are not saved.
        granted: its turn came in the line, and it was not entered yet.
        asking: an acquire is under way.
        handing: it is about to be handed over.
        taken: somebody took it on purpose, so it is not acquired again by itself.
        why: why it is not locked; "" where it is.
    """

    place: Place
    session: EditSession | None = None
    editing: bool = False
    changed: bool = False
    granted: bool = False
    asking: bool = False
    handing: bool = False
    taken: bool = False
    why: str = ""

    @property
    def wanted(self) -> bool:
        """Whether there is a reason to hold it."""
        return self.editing or self.changed or self.granted


class Edits:
    """The locks of this FreeCAD.

    Args:
        server: the connection.
        view: what the user sees.
    """

    def __init__(self, server: Server, view: View) -> None:
        self._server = server
        self._view = view
        self._holds: dict[Lock, Hold] = {}
        self.requests: list[HandoffRequest] = []

    @property
    def holds(self) -> list[Hold]:
        """The locks in use, held or not."""
        return list(self._holds.values())

    @property
    def current(self) -> Hold | None:
        """The lock of the object that is in edit."""
        return next((hold for hold in self._holds.values() if hold.editing), None)

    def hold_of(self, session_id: str) -> Hold | None:
        """Return the lock of a session."""
        return next(
            (one for one in self.holds if one.session and one.session.id == session_id), None
        )

    # -- edits --

    def enter(self, place: Place) -> bool:
        """Note that the user enters an edit; return whether it may go on. If not, the user was told why."""
        self.leave()
        before = self._holds.get(place.lock)
        if before is not None and before.handing:
            self._view.say(f"{place} is being handed over.")
            return False
        if before is not None and before.session:
            before.editing, before.granted = True, False
            if before.place.cone != place.cone:
                # The server takes the new cone.
                self._server.acquire_later(place, lambda _: None)
            # Changes that are not saved are in the document in which they were made.
            document = before.place.document if before.changed else place.document
            before.place = replace(place, document=document)
            self._view.update()
            return True
        # Also where a direct change asks already: what is entered has to be refused now.
        changed = before is not None and before.changed
        hold = self._holds[place.lock] = Hold(place, editing=True, changed=changed, asking=True)
        outcome = self._server.acquire(
            place, ACQUIRE_SECONDS, lambda late: self._answered(hold, late)
        )
        if outcome is None:
            hold.why = LATE
            self._view.update()
            return True
        hold.asking = False
        session, error = outcome.value, outcome.error
        if isinstance(error, HardInterferenceError) or (session and session.existing):
            self._drop(hold)
            if before is not None and before.changed:
                # It stays as it was: without a lock, or its own answer is under way.
                self._holds[place.lock] = before
            if session:
                self._server.leave(session)
                self._view.other_window(place)
            elif isinstance(error, HardInterferenceError):
                self._view.refused(place, error.holder)
            return False
        hold.session = session
        hold.why = reason(error) if error else ""
        self._view.update()
        return True

    def leave(self) -> None:
        """Note that the user has left the edit. What was changed stays held until it is saved or closed."""
        hold = self.current
        if hold is None:
            return
        hold.editing = False
        self._settle(hold)

    def changed(self, document: str) -> None:
        """Note a change by the edit that is open; it may change another document than the one in edit."""
        hold = self.current
        if hold is not None and hold.place.document == document and not hold.changed:
            hold.changed = True
            self._view.update()

    def has_changed(self, lock: Lock) -> bool:
        """Whether a change of this lock was noted that is not saved."""
        hold = self._holds.get(lock)
        return hold is not None and hold.changed

    def change_directly(self, place: Place) -> None:
        """Note a change that was made without an edit (property editor, spreadsheet, delete, undo)."""
        hold = self._holds.get(place.lock)
        if hold is None:
            hold = self._holds[place.lock] = Hold(place)
        if not hold.changed:
            hold.changed = True
            self._view.update()
        if hold.session is None and not hold.asking and not hold.why:
            self._ask_again(hold)

    def undone(self, place: Place) -> None:
        """Note that a change which was refused was undone."""
        hold = self._holds.get(place.lock)
        if hold is not None and hold.session is None and not hold.editing:
            self._drop(hold)

    def saved(self, document: str) -> None:
        """Note that a document was saved: what was changed in it is free again, unless it is in edit."""
        for hold in self.holds:
            if hold.place.document == document and hold.changed:
                hold.changed = False
                self._settle(hold)

    def closed(self, document: str) -> None:
        """Note that a document was closed, saved or not: nothing of it is held any longer."""
        for hold in self.holds:
            if hold.place.document == document:
                hold.changed = hold.editing = hold.granted = False
                self._settle(hold)

    def give_up(self, lock: Lock) -> None:
        """Release a lock because the user says so, although there are changes."""
        hold = self._holds.get(lock)
        if hold is not None and not hold.editing:
            hold.changed = hold.granted = False
            self._settle(hold)

    # -- what the server says later --

    def connected(self) -> None:
        """Note that the server can be reached (again): acquire what is in use without a lock."""
        for hold in self.holds:
            if hold.session is None and hold.wanted and not hold.asking and not hold.taken:
                self._ask_again(hold)

    def disconnected(self, why: str) -> None:
        """Note that the workstation is closed: its sessions have ended."""
        self.requests = []
        for hold in self.holds:
            hold.why = why if hold.session else hold.why
            hold.session, hold.granted, hold.handing = None, False, False
            if not hold.wanted:
                self._drop(hold)
        self._view.update()

    def reconnected(self) -> None:
        """Note that there is another workstation, after a new log-in, say: the sessions before have ended."""
        self.disconnected("")
        for hold in self.holds:
            hold.taken = False
        self.connected()

    def granted(self, place: Place, session: EditSession) -> None:
        """Note that the turn for a place has come."""
        hold = self._holds.setdefault(place.lock, Hold(place))
        hold.session, hold.why = session, ""
        hold.granted = not (hold.editing or hold.changed)
        self._view.update()

    def lost(self, session_id: str, how: Lost) -> None:
        """Note that a session was lost."""
        self.requests = [one for one in self.requests if one.session_id != session_id]
        hold = self.hold_of(session_id)
        if hold is None:
            self._view.update()
            return
        hold.session = None
        hold.granted = hold.handing = False
        if not hold.wanted:
            self._drop(hold)
            return
        hold.why = lost_text(how)
        hold.taken = how.reason not in COME_BACK
        self._view.lost(hold.place, how)
        if not hold.taken:
            self._ask_again(hold)
        self._view.update()

    def _ask_again(self, hold: Hold) -> None:
        hold.asking = True
        self._server.acquire_later(hold.place, lambda outcome: self._answered(hold, outcome))

    def _answered(self, hold: Hold, outcome: Outcome[EditSession]) -> None:
        """Handle an answer that nobody waited for."""
        hold.asking = False
        if self._holds.get(hold.place.lock) not in (None, hold):
            # The object was left and entered again meanwhile: the later request has the same answer.
            return
        session, error = outcome.value, outcome.error
        if session and session.existing:
            self._server.leave(session)
            self._refuse_late(hold, None)
        elif isinstance(error, HardInterferenceError):
            self._refuse_late(hold, error.holder)
        elif session:
            hold.session, hold.why = session, ""
            self._settle(hold)
        elif error:
            hold.why = reason(error)
            self._settle(hold)

    def _refuse_late(self, hold: Hold, holder: Holder | None) -> None:
        """Show that it stays without a lock, which is not asked for again until it is saved or entered again."""
        hold.taken = True
        hold.why = f"{holder.person} has it" if holder else "your other window has it"
        if hold.editing:
            self._view.refused_late(hold.place, holder)
        elif hold.changed:
            self._view.change_refused(hold.place, holder)
        self._settle(hold)

    # -- handing over --

    def asked(self, request: HandoffRequest) -> None:
        """Note that another user asks for a lock."""
        if self.hold_of(request.session_id) is None:
            return
        self.requests = [one for one in self.requests if one.session_id != request.session_id]
        self.requests.append(request)
        self._view.asked(request)
        self._view.update()

    def decline(self, request: HandoffRequest) -> None:
        """Do not show a request any longer. The other user stays in line."""
        self.requests = [one for one in self.requests if one is not request]
        self._view.update()

    def hand_over(self, request: HandoffRequest) -> None:
        """Leave the edit, save what was changed, and hand the lock over."""
        hold = self.hold_of(request.session_id)
        self.decline(request)
        if hold is None or hold.session is None:
            return
        session = hold.session
        hold.handing = True
        if hold.editing:
            self._view.end_edit()
        if hold.changed and not self._view.save(hold.place.document):
            hold.handing = False
            self._settle(hold)
            self._view.say(f"{hold.place} was not handed over, because it could not be saved.")
            return
        hold.changed = False
        self._server.hand_over(
            session,
            request.workstation_id,
            lambda outcome: self._handed_over(hold, session, request, outcome),
        )

    def _handed_over(
        self, hold: Hold, session: EditSession, request: HandoffRequest, outcome: Outcome[None]
    ) -> None:
        hold.handing = False
        if outcome.error is None:
            self._forget_requests(session)
            hold.session = None
            hold.granted = False
            # For what was changed meanwhile.
            hold.why, hold.taken = f"it was handed over to {request.person}", True
            self._view.say(f"{hold.place} was handed over to {request.person}.")
        else:
            self._view.say(f"{hold.place} was not handed over: {outcome.error}")
        self._settle(hold)

    # -- the rest --

    def _settle(self, hold: Hold) -> None:
        """Release a lock that nothing needs any more."""
        if not hold.wanted and not hold.handing:
            session, hold.session = hold.session, None
            self._drop(hold)
            if session:
                self._forget_requests(session)
                self._server.release(session)
        self._view.update()

    def _forget_requests(self, session: EditSession) -> None:
        self.requests = [one for one in self.requests if one.session_id != session.id]

    def _drop(self, hold: Hold) -> None:
        if self._holds.get(hold.place.lock) is hold:
            del self._holds[hold.place.lock]
        self._view.update()
