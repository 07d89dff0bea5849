"""What the user sees of the add-on: the dock, the questions, the messages. This is the `View` of `interfaces`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import FreeCAD as App
import FreeCADGui as Gui
from PySide import QtCore, QtGui

from silo_client import HandoffRequest, Holder, Lock, Lost

from . import overview
from .connection import Connection, LogInForm
from .dialogs import Answer, LogIn, Questions, holder_text
from .edits import Edits, Hold
from .panel import Button, Panel, Section
from .places import Place
from .reasons import lost_text
from .undo import is_last
from .waits import Wait, Waits

# The dock keeps so many messages.
MESSAGES = 8
# Several changes of what is shown are drawn at once.
DRAW_MS = 50
OTHER_WINDOW = "Your other FreeCAD window has {}: edit it there, or leave it there first."


class Application(Protocol):
    """What the windows show and act on; see `application.Application`."""

    edits: Edits
    waits: Waits
    connection: Connection
    undoing: bool
    undo_lists: dict[Lock, list[str] | None]

    def part_number(self, document: Any) -> str:
        """Return a document's part number, or ""."""

    def set_part_number(self, document: Any, number: str) -> None:
        """Give a document a part number."""

    def ask_part_number(self) -> None:
        """Ask for the part number of the active document."""

    def ask_log_in(self) -> None:
        """Ask for the log-in."""

    def connect(self) -> None:
        """Connect with the log-in that is kept."""

    def create_part(self, number: str) -> None:
        """Have the server know a part number."""


class Windows:
    """The dock and the questions.

    Args:
        application: what they show and act on.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._panel: Any = None
        self._messages: list[str] = []
        self._timer = QtCore.QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)
        self.questions = self._questions = Questions()
        self._log_in: Any = None

    def begin(self, visible: bool) -> None:
        """Make the dock."""
        application = self._application
        self._panel = Panel(
            application.ask_log_in, application.ask_part_number, application.connect
        )
        Gui.getMainWindow().addDockWidget(QtCore.Qt.RightDockWidgetArea, self._panel)
        self._panel.setVisible(visible)
        self._draw()

    @property
    def panel(self) -> Panel:
        """The dock."""
        assert isinstance(self._panel, Panel)
        return self._panel

    def show_dock(self) -> None:
        """Show the dock, in front of others."""
        self.panel.setVisible(True)
        self.panel.raise_()

    # -- what `edits` and `waits` tell --

    def refused(self, place: Place, holder: Holder) -> None:
        """See `interfaces.View`."""
        waits = self._application.waits

        def ask() -> None:
            waits.stand(place, question.message or "May I edit it?")

        wait: list[Answer] = [("Wait in line", lambda: waits.stand(place))]
        if any(one.place == place for one in waits.all):
            wait = []
        question = self._questions.ask(
            place.lock,
            "Being edited",
            holder_text(str(place), holder) + ("" if wait else " You are in line."),
            [*wait, ("Ask for it", ask), ("Only look", _nothing)],
            message=(f"Message to {holder.user}, if you ask", ask),
            still=_is_open(place),
        )

    def other_window(self, place: Place) -> None:
        """See `interfaces.View`."""
        self._questions.ask(
            place.lock, "Open elsewhere", OTHER_WINDOW.format(place), [("OK", _nothing)]
        )

    def refused_late(self, place: Place, holder: Holder | None) -> None:
        """See `interfaces.View`."""
        who = holder_text(str(place), holder) if holder else OTHER_WINDOW.format(place)
        self._questions.ask(
            place.lock,
            "Being edited",
            f"{who}\nYou are editing it without a lock:"
            " what you change may be lost when both of you save.",
            [("Leave the edit", self.end_edit), ("Go on without a lock", _nothing)],
            still=_is_open(place),
        )

    def change_refused(self, place: Place, holder: Holder | None) -> None:
        """See `interfaces.View`."""
        who = holder_text(str(place), holder) if holder else OTHER_WINDOW.format(place)
        document = App.listDocuments().get(place.document)
        before = self._application.undo_lists.get(place.lock)
        answers: list[Answer] = [("Keep it", _nothing)]
        if document is not None and is_last(document, before):
            hint = ""
            answers.insert(0, ("Undo my change", lambda: self._undo(place, before)))
        elif before is None:
            hint = " It came by Undo or Redo: take it back by the other one."
        else:
            hint = " Change it back yourself if you do not want it."
        self._questions.ask(
            place.lock,
            "Being edited",
            f"{who}\nYour change is not protected.{hint}",
            answers,
            still=_is_open(place),
        )

    def _undo(self, place: Place, before: list[str] | None) -> None:
        application = self._application
        document = App.listDocuments().get(place.document)
        if document is None or not is_last(document, before):
            self.say(f"There are later changes than that of {place}: undo them yourself.")
            return
        application.undoing = True
        try:
            document.undo()
            document.recompute()
        finally:
            application.undoing = False
        for hold in application.edits.holds:
            # One change may have met several locks: a deletion does.
            same = application.undo_lists.get(hold.place.lock) == before
            if hold.place.document == place.document and hold.taken and same:
                application.edits.undone(hold.place)
                self._questions.close_about(hold.place.lock)

    def lost(self, place: Place, how: Lost) -> None:
        """See `interfaces.View`."""
        self._questions.ask(
            place.lock,
            "Lock lost",
            f"You no longer have the lock of {place}: {lost_text(how)}. Others may edit it now.",
            [("OK", _nothing)],
            still=_is_open(place),
        )

    def asked(self, request: HandoffRequest) -> None:
        """See `interfaces.View`."""
        edits = self._application.edits
        hold = edits.hold_of(request.session_id)
        what = str(hold.place) if hold else str(request.lock)
        note = "\nThe file is saved first." if hold and hold.changed else ""
        self._questions.ask(
            request.session_id,
            "Asked for",
            f"{request.person} asks for {what}: {request.message}{note}",
            [
                ("Hand it over", lambda: edits.hand_over(request)),
                ("Not now", lambda: edits.decline(request)),
            ],
            still=lambda: request in edits.requests,
        )

    def edit(self, place: Place) -> None:
        """Enter the edit of a place."""
        if place.document in App.listDocuments():
            App.setActiveDocument(place.document)
            Gui.getDocument(place.document).setEdit(place.entered)

    def end_edit(self) -> None:
        """See `interfaces.View`."""
        document = Gui.editDocument()
        if document is not None:
            document.resetEdit()

    def save(self, document: str) -> bool:
        """See `interfaces.View`."""
        found = App.listDocuments().get(document)
        if found is None or not found.FileName:
            return False
        try:
            found.save()
        except Exception as error:
            self.say(f"{found.Label} could not be saved: {error}")
            return False
        return True

    def say(self, text: str) -> None:
        """See `interfaces.View`."""
        self.note(text)
        App.Console.PrintWarning(f"Silo Sessions: {text}\n")

    def note(self, text: str) -> None:
        """Add a message to the dock."""
        self._messages = [f"{datetime.now().astimezone():%H:%M} {text}", *self._messages][:MESSAGES]
        self.update()

    def forget_messages(self) -> None:
        """Show no message any longer."""
        self._messages = []
        self.update()

    def update(self) -> None:
        """Draw the dock again, soon."""
        if not self._timer.isActive():
            self._timer.start(DRAW_MS)

    # -- documents --

    def load_whole(self, document: Any) -> None:
        """Load a document whole that was opened in part, as links need it; then the edit is to be begun again."""
        file, label = document.FileName, document.Label

        def load() -> None:
            App.openDocument(file)
            self.say(
                f"{label} was loaded in part, for its links only. It is whole now: edit again."
            )

        QtCore.QTimer.singleShot(0, load)

    def copied(self, document: Any, number: str, original: str) -> None:
        """Ask what a copy of a part is."""
        self._questions.ask(
            document.Name,
            "Another part?",
            f"{document.Label} was saved under another name. It was the part {number} ({original})."
            " Is it another part now? Without a part number nothing of it is locked.",
            [
                ("Part number…", lambda: self.ask_part_number(document)),
                (
                    f"It is still {number}",
                    lambda: self._application.set_part_number(document, number),
                ),
                ("No part", _nothing),
            ],
        )

    def ask_part_number(self, document: Any) -> None:
        """Ask for a document's part number."""
        application = self._application
        before = application.part_number(document)
        number, good = QtGui.QInputDialog.getText(
            Gui.getMainWindow(),
            "Part number",
            f"Part number of {document.Label} on the server (empty: none):",
            QtGui.QLineEdit.Normal,
            before,
        )
        if good and number.strip() != before:
            application.set_part_number(document, number.strip())

    def ask_log_in(self, url: str) -> None:
        """Ask for the log-in."""
        connection = self._application.connection

        def log_in(form: LogInForm) -> None:
            connection.log_in(form, lambda outcome: window.answered(outcome.error))

        window = self._log_in = LogIn(url, log_in)
        window.show()

    # -- drawing --

    def _draw(self) -> None:
        if self._panel is None:
            return
        self._questions.close_answered()
        application = self._application
        connection, edits, waits = application.connection, application.edits, application.waits
        connected = connection.connected
        if connected:
            state = f"Connected to {connection.url} as {connection.user}"
        elif connection.open:
            state = f"Connecting to {connection.url} again…"
        else:
            state = f"Not connected: {connection.why}"
        banner = overview.banner(
            edits, logged_in=connection.open, connected=connected, why=connection.why
        )
        sections: list[Section] = [
            (
                "Asked of me",
                [(row, self._request_buttons(row)) for row in overview.requests(edits)],
            ),
            ("I hold", [(row, self._hold_buttons(row)) for row in overview.held(edits)]),
            ("I wait for", [(row, self._wait_buttons(row)) for row in overview.waiting(waits)]),
            (
                "The open parts",
                [
                    (row, self._part_buttons(row))
                    for row in overview.others(connection.watched, connection.workstation_id)
                ],
            ),
            ("Messages", [(overview.Row(text), []) for text in self._messages]),
        ]
        self.panel.show_state(state, banner, sections, connected=connection.open)

    def _part_buttons(self, row: overview.Row) -> list[Button]:
        number = row.about
        if not isinstance(number, str):
            return []
        return [("Create the part", lambda: self._application.create_part(number))]

    def _request_buttons(self, row: overview.Row) -> list[Button]:
        request, edits = row.about, self._application.edits
        assert isinstance(request, HandoffRequest)
        return [
            ("Hand over", lambda: edits.hand_over(request)),
            ("Not now", lambda: edits.decline(request)),
        ]

    def _hold_buttons(self, row: overview.Row) -> list[Button]:
        hold = row.about
        assert isinstance(hold, Hold)
        place, edits = hold.place, self._application.edits
        if hold.editing:
            return [("Leave", self.end_edit)]
        act: list[Button] = [("Edit", lambda: self.edit(place))] if hold.granted else []
        if hold.changed:
            act.append(("Save", lambda: self.save(place.document)))
        return [*act, ("Release", lambda: edits.give_up(place.lock))]

    def _wait_buttons(self, row: overview.Row) -> list[Button]:
        wait = row.about
        assert isinstance(wait, Wait)
        waits = self._application.waits
        return [("Leave the line", lambda: waits.leave(wait.place.lock))]


def _is_open(place: Place) -> Callable[[], bool]:
    """Return what says whether a place's document is still open: a lock of a closed one would never end."""
    return lambda: place.document in App.listDocuments()


def _nothing() -> None:
    """The window closes."""
