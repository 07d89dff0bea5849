"""The lines in which this FreeCAD stands. Knows no FreeCAD, like `edits`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from silo_client import EditSession, Holder, Lock, Waiting

from .connection import Left
from .edits import Edits
from .places import Place
from .reasons import reason
from .worker import Outcome, Then


class Lines(Protocol):
    """The connection to the server; see `Connection.wait`."""

    def wait(
        self, place: Place, ask: str, report: Callable[[Waiting], Any], then: Then[EditSession]
    ) -> Callable[[], None]:
        """Stand in line until the turn comes."""

    def ask(self, place: Place, holder: Holder, message: str, then: Then[None]) -> None:
        """Ask the holder for a hand-over, for the place in line that is taken."""

    def leave(self, session: EditSession) -> None:
        """Give up a session that another window of this workstation has, which goes on there."""

    def release(self, session: EditSession) -> None:
        """End a session in the background."""


class WaitView(Protocol):
    """What the user sees of it."""

    def turn(self, place: Place) -> None:
        """The turn has come: this FreeCAD has the lock."""

    def other_window(self, place: Place) -> None:
        """The turn has come, and another FreeCAD window of the same user, which waited too, has the lock."""

    def say(self, text: str) -> None:
        """Tell the user something that needs no answer."""

    def update(self) -> None:
        """Something that is shown has changed."""


@dataclass(eq=False)
class Wait:
    """A place in line.

    Args:
        place: what is waited for.
        position: from 1; 0 while it is not known.
        holder: the present holder, where it is known.
        message: what the holder is yet to be asked, "" for nothing.
        leave: leaves the line.
    """

    place: Place
    position: int = 0
    holder: Holder | None = None
    message: str = ""
    leave: Callable[[], None] = field(default=lambda: None)


class Waits:
    """The places in line of this FreeCAD.

    Args:
        lines: the connection.
        edits: gets the session when a turn comes.
        view: what the user sees.
    """

    def __init__(self, lines: Lines, edits: Edits, view: WaitView) -> None:
        self._lines = lines
        self._edits = edits
        self._view = view
        self._waits: dict[Lock, Wait] = {}

    @property
    def all(self) -> list[Wait]:
        """The places, in the order in which they were taken."""
        return list(self._waits.values())

    def stand(self, place: Place, ask: str = "") -> None:
        """Stand in line for a lock; with a message, ask its holder too. Where it stands there, it keeps its place."""
        before = self._waits.get(place.lock)
        if before is not None:
            before.message = ask or before.message
            self._ask(before)
            return
        wait = self._waits[place.lock] = Wait(place)
        wait.leave = self._lines.wait(
            place,
            ask,
            lambda waiting: self._moved(wait, waiting),
            lambda outcome: self._ended(wait, outcome),
        )
        self._view.update()

    def leave(self, lock: Lock) -> None:
        """Leave a line."""
        wait = self._waits.pop(lock, None)
        if wait is not None:
            wait.leave()
            self._view.update()

    def closed(self, document: str) -> None:
        """Note that a document was closed: nobody waits for its objects any longer."""
        for wait in self.all:
            if wait.place.document == document:
                self.leave(wait.place.lock)

    def _moved(self, wait: Wait, waiting: Waiting) -> None:
        wait.position, wait.holder = waiting.position, waiting.holder
        self._ask(wait)
        self._view.update()

    def _ask(self, wait: Wait) -> None:
        """Ask the holder, as soon as it is known."""
        holder, message = wait.holder, wait.message
        if holder is None or not message:
            return
        wait.message = ""

        def asked(outcome: Outcome[None]) -> None:
            if outcome.error is None:
                self._view.say(f"{holder.person} was asked for {wait.place}.")
            else:
                self._view.say(f"{holder.person} was not asked: {reason(outcome.error)}.")

        self._lines.ask(wait.place, holder, message, asked)

    def _ended(self, wait: Wait, outcome: Outcome[EditSession]) -> None:
        present = self._waits.get(wait.place.lock) is wait
        if present:
            del self._waits[wait.place.lock]
        session = outcome.value
        if session is not None and session.existing:
            # To end it would end the edit of the other window.
            self._lines.leave(session)
            if present:
                self._view.other_window(wait.place)
        elif session is not None and present:
            self._edits.granted(wait.place, session)
            self._view.turn(wait.place)
        elif session is not None:
            # The line was left in that moment.
            self._lines.release(session)
        elif present and outcome.error is not None and not isinstance(outcome.error, Left):
            self._view.say(f"You no longer wait for {wait.place}: {reason(outcome.error)}.")
        self._view.update()
