"""What `edits` needs of the connection and of what the user sees. Knows no FreeCAD."""

from __future__ import annotations

from typing import Protocol

from silo_client import EditSession, HandoffRequest, Holder, Lost

from .places import Place
from .worker import Outcome, Then


class Server(Protocol):
    """The connection to the server. `then` and `late` are called in the GUI thread."""

    def acquire(
        self, place: Place, seconds: float, late: Then[EditSession]
    ) -> Outcome[EditSession] | None:
        """Acquire a session, and wait so long for it. A late outcome goes to `late`."""

    def acquire_later(self, place: Place, then: Then[EditSession]) -> None:
        """Acquire a session in the background."""

    def release(self, session: EditSession) -> None:
        """End a session in the background."""

    def leave(self, session: EditSession) -> None:
        """Give up a session that another window of this workstation has, which goes on there."""

    def hand_over(self, session: EditSession, workstation_id: str, then: Then[None]) -> None:
        """Hand a session over in the background."""


class View(Protocol):
    """What the user sees and decides. None of the methods waits for the user."""

    def refused(self, place: Place, holder: Holder) -> None:
        """Another user edits this: the edit was not entered."""

    def other_window(self, place: Place) -> None:
        """Another FreeCAD window of the same user edits this: the edit was not entered."""

    def refused_late(self, place: Place, holder: Holder | None) -> None:
        """The edit was entered while the server was away, and another user (None: another window) has the lock."""

    def change_refused(self, place: Place, holder: Holder | None) -> None:
        """A direct change met the lock of another user (None: of another window). Offer to undo it."""

    def lost(self, place: Place, how: Lost) -> None:
        """The lock was lost while it was in use."""

    def asked(self, request: HandoffRequest) -> None:
        """Another user asks for a lock that is held here."""

    def end_edit(self) -> None:
        """Leave the present edit."""

    def save(self, document: str) -> bool:
        """Save a document; return whether it is saved."""

    def say(self, text: str) -> None:
        """Tell the user something that needs no answer."""

    def update(self) -> None:
        """Something that is shown has changed."""
