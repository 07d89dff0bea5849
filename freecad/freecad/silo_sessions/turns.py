"""The turn that comes, and files that others have saved since they were opened. This is the `WaitView` of `waits`."""

from __future__ import annotations

from typing import Any, Protocol

import FreeCAD as App

from .dialogs import Answer
from .edits import Edits
from .files import Files
from .places import Place
from .windows import Windows


class Application(Protocol):
    """See `application.Application`."""

    edits: Edits
    windows: Windows

    def documents_changed(self) -> None:
        """Documents were opened, or read again."""


class Turns:
    """Tells of turns and of files that are newer than what is open.

    Args:
        application: whose edits and windows they are.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self.files = Files()
        # True while a document is read again, for which FreeCAD closes it: what it holds stays held.
        self.reading = False

    def look(self) -> None:
        """Note which documents are open."""
        for document in App.listDocuments().values():
            self.files.opened(document)

    def turn(self, place: Place) -> None:
        """See `waits.WaitView`."""
        edits, windows = self._application.edits, self._application.windows
        document = App.listDocuments().get(place.document)
        newer = document is not None and self.files.written_by_others(document)
        act: list[Answer] = [("Edit it", lambda: windows.edit(place))]
        text = f"It is your turn: you have the lock of {place}."
        if newer:
            act = [("Open it again and edit", lambda: self.read_again(place))]
            text += " The file was saved meanwhile. What you have not saved of it is lost."
        windows.questions.ask(
            place.lock,
            "Your turn",
            text,
            [*act, ("Release it", lambda: edits.give_up(place.lock))],
            still=lambda: any(one.granted and one.place == place for one in edits.holds),
        )

    def other_window(self, place: Place) -> None:
        """See `waits.WaitView`."""
        self._application.windows.other_window(place)

    def say(self, text: str) -> None:
        """See `waits.WaitView`."""
        self._application.windows.say(text)

    def update(self) -> None:
        """See `waits.WaitView`."""
        self._application.windows.update()

    def entered(self, document: Any, place: Place) -> None:
        """Ask what to do with an edit that has begun, if what is open is not what the file has by now."""
        if not self.files.written_by_others(document):
            return
        edits = self._application.edits
        self._application.windows.questions.ask(
            ("file", place.document),
            "Saved by others",
            f"The file of {place} was saved by somebody else since you opened it: who saves last, wins."
            " Opened again, it has their changes, and what you have not saved is lost.",
            [
                ("Open it again and edit", lambda: self.read_again(place)),
                ("Go on", lambda: None),
            ],
            still=lambda: edits.current is not None and edits.current.place == place,
        )

    def read_again(self, place: Place) -> None:
        """Read a document again from its file, and edit."""
        document = App.listDocuments().get(place.document)
        if document is None:
            return
        windows, current = self._application.windows, self._application.edits.current
        if current is not None and current.place == place:
            # It stays held while it is not in edit.
            current.granted = True
        windows.end_edit()
        before = self.files.stamp(document)
        self.reading = True
        try:
            document.restore()
        except Exception as error:
            windows.say(f"{document.Label} could not be opened again: {error}")
            return
        finally:
            self.reading = False
        self.files.read(document, before)
        self._application.edits.saved(place.document)
        self._application.documents_changed()
        windows.edit(place)
