"""The add-on as it runs in FreeCAD: what FreeCAD tells, what the server tells, and what is done about it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import FreeCAD as App
import FreeCADGui as Gui
from PySide import QtCore, QtGui

from silo_client import Conflict, EditSession, HandoffRequest, Lock, ServerUnavailableError
from silo_client.credentials import CredentialsError, NotLoggedInError, kept_url
from silo_client.gui import qt_dispatch

from . import overview, parts, preferences
from .cone import cone_of
from .connection import Connection
from .edits import Edits
from .locks import lock_of
from .observers import AppObserver, GuiObserver, guarded, object_in_edit
from .places import Place
from .reasons import reason
from .turns import Turns
from .undo import before_change
from .waits import Waits
from .windows import Windows
from .worker import Outcome

# How often the pointer is looked at, and whether a server is to be tried again.
LOOK_MS = 1_000
# What happens when a document is opened is looked at once.
SOON_MS = 100
# What has no lock because the server was slow, while the connection stayed, is tried again so often.
AGAIN_SECONDS = 3
# A server that was not there at the start is tried again so often.
RETRY_SECONDS = 10

_running: Application | None = None


def running() -> Application:
    """Return the add-on of this FreeCAD."""
    assert _running is not None
    return _running


def start() -> None:
    """Start the add-on, once."""
    global _running
    if _running is None:
        _running = Application()
        _running.begin()


class Application:
    """Brings FreeCAD, the logic and the server together: `observers.Target` and `connection.Listener`."""

    def __init__(self) -> None:
        dispatch = qt_dispatch()

        def post(call: Callable[[], Any]) -> None:
            dispatch(lambda: guarded(call)())

        self.windows = Windows(self)
        self.connection = Connection(post, self, preferences.helper_python())
        self.edits = Edits(self.connection, self.windows)
        self.turns = Turns(self)
        self.waits = Waits(self.connection, self.edits, self.turns)
        self._numbers: dict[str, str] = {}
        self._observers: list[Any] = [GuiObserver(self), AppObserver(self)]
        self._pointer: Any = None
        self._ticks = 0
        # Where the user has to log in first, or does not want to connect.
        self._no_retry = True
        self._watched: list[str] = []
        self._watch_timer = QtCore.QTimer()
        self._watch_timer.setSingleShot(True)
        self._watch_timer.timeout.connect(self._watch)
        self._timer = QtCore.QTimer()
        self._timer.timeout.connect(self._look)
        # Between `entered` and `left`: FreeCAD has an edit document a moment earlier.
        self._in_edit = False
        # The entries that could be undone before the latest direct change of each lock.
        self.undo_lists: dict[Lock, list[str] | None] = {}
        # True while a refused change is undone.
        self.undoing = False

    def begin(self) -> None:
        """Show the dock, observe FreeCAD, and connect."""
        logger = logging.getLogger("silo_client")
        logger.addHandler(ReportView())
        preferences.register()
        Gui.addDocumentObserver(self._observers[0])
        App.addDocumentObserver(self._observers[1])
        QtGui.QApplication.instance().aboutToQuit.connect(self.end)
        self.windows.begin(preferences.show_dock())
        if preferences.connect_at_start():
            self.connect()
        self._timer.start(LOOK_MS)
        self.documents_changed()

    def end(self) -> None:
        """Stop observing and disconnect, which releases everything."""
        self._timer.stop()
        Gui.removeDocumentObserver(self._observers[0])
        App.removeDocumentObserver(self._observers[1])
        self.connection.close()

    # -- what FreeCAD tells --

    def place_of(self, obj: Any) -> Place | None:
        """Return what is locked where an object is edited; None where its document has no part number."""
        number = self.part_number(obj.Document)
        if not number:
            return None
        level, locked = lock_of(obj)
        lock = Lock(number, level, locked.Name)
        return Place(lock, obj.Document.Name, obj.Name, locked.Label, cone_of(locked))

    def entered(self, obj: Any) -> bool:
        """See `observers.Target`."""
        self._in_edit = True
        if obj is None or not self.part_number(obj.Document):
            self.edits.leave()
            return True
        if getattr(obj.Document, "Partial", False):
            self.windows.load_whole(obj.Document)
            return False
        place = self.place_of(obj)
        assert place is not None
        entered = self.edits.enter(place)
        if entered:
            self.turns.entered(obj.Document, place)
        return entered

    def left(self) -> None:
        """See `observers.Target`."""
        self._in_edit = False
        self.edits.leave()

    def part_number(self, document: Any) -> str:
        """See `observers.Target`."""
        name = document.Name
        if name not in self._numbers:
            self._numbers[name] = parts.part_number_of(document)
        return self._numbers[name]

    def changed_in_edit(self, obj: Any, prop: str, *, is_new: bool) -> None:
        """See `observers.Target`. The edit changes what it has locked; all else is a direct change."""
        if not self._in_edit:
            # It is only being entered.
            return
        current = self.edits.current
        if current is not None:
            level, locked = lock_of(obj)
            lock = Lock(self.part_number(obj.Document), level, locked.Name)
            # An assembly places what is in it.
            placed = current.place.lock.level == "assembly" and prop == "Placement"
            if lock == current.place.lock or placed:
                self.edits.changed(current.place.document)
                return
        if not is_new:
            self.changed_directly(obj)

    def changed_directly(self, obj: Any) -> None:
        """See `observers.Target`."""
        if self.undoing or not preferences.direct_changes():
            return
        number = self.part_number(obj.Document)
        level, locked = lock_of(obj)
        if number and not self.edits.has_changed(Lock(number, level, locked.Name)):
            place = self.place_of(obj)
            assert place is not None
            self.undo_lists[place.lock] = before_change(obj.Document)
            self.edits.change_directly(place)

    def saving(self, document: Any, file: str) -> None:
        """See `observers.Target`."""
        if self.part_number(document):
            parts.about_to_save(document, file)

    def saved(self, document: Any, file: str) -> None:
        """See `observers.Target`. A copy that is written beside the document saves nothing."""
        if Path(file).absolute() == Path(document.FileName).absolute():
            self.documents_changed()
            self.turns.files.in_step(document)
            self.edits.saved(document.Name)
            number, original = parts.copied_from(document)
            if number:
                self.windows.copied(document, number, original)

    def closed(self, document: Any) -> None:
        """See `observers.Target`."""
        if self.turns.reading:
            return
        self.turns.files.closed(document)
        self.edits.closed(document.Name)
        self.waits.closed(document.Name)
        self._numbers.pop(document.Name, None)
        self._soon()

    def documents_changed(self) -> None:
        """See `observers.Target`."""
        self._numbers.clear()
        self._observers[1].new.clear()
        self._soon()

    # -- what the server tells --

    def on_open(self) -> None:
        """See `connection.Listener`."""
        self._no_retry = False
        self.edits.reconnected()
        self._watched = []
        self._watch()

    def on_failed(self, why: Exception) -> None:
        """See `connection.Listener`."""
        # Without a log-in, or with one that is refused, trying again does not help.
        self._no_retry = not isinstance(why, ServerUnavailableError)
        if not isinstance(why, (NotLoggedInError, ServerUnavailableError)):
            self.windows.say(f"Not connected: {reason(why)}.")
        self.edits.disconnected(reason(why))

    def on_lost(self, session: EditSession) -> None:
        """See `connection.Listener`."""
        assert session.lost is not None
        self.edits.lost(session.id, session.lost)

    def on_conflict(self, session: EditSession, conflict: Conflict) -> None:
        """See `connection.Listener`."""
        hold = self.edits.hold_of(session.id)
        if hold is not None:
            holder = conflict.holder
            self.windows.note(
                f"{holder.person} edits {holder.object_id or 'the part'}: your changes of {hold.place} may conflict."
            )
        self.windows.update()

    def on_asked(self, request: HandoffRequest) -> None:
        """See `connection.Listener`."""
        self.edits.asked(request)

    def on_state(self) -> None:
        """See `connection.Listener`."""
        if self.connection.connected:
            self.edits.connected()
        self.windows.update()

    def on_change(self) -> None:
        """See `connection.Listener`."""
        self.windows.update()

    def numbers(self) -> list[str]:
        """Return the part numbers of the open documents."""
        return overview.names(self.part_number(one) for one in App.listDocuments().values())

    def _watch(self) -> None:
        self.turns.look()
        numbers = self.numbers()
        if numbers != self._watched and self.connection.open:
            self._watched = numbers
            self.connection.watch(numbers)
        self.windows.update()

    def _soon(self) -> None:
        if not self._watch_timer.isActive():
            self._watch_timer.start(SOON_MS)

    def _look(self) -> None:
        self._ticks += 1
        self._observers[1].new.clear()
        pointer = QtGui.QCursor.pos()
        if pointer != self._pointer:
            self._pointer = pointer
            self.connection.touched()
        if self._ticks % AGAIN_SECONDS == 0 and self.connection.connected:
            self.edits.connected()
        if self._ticks % RETRY_SECONDS == 0 and not (self.connection.open or self._no_retry):
            self.connection.start()

    def connect(self) -> None:
        """Connect with the log-in that is kept, and try again until the server is there."""
        self._no_retry = False
        self.connection.start()

    def create_part(self, number: str) -> None:
        """Have the server know a part number, and watch it."""

        def created(outcome: Outcome[Any]) -> None:
            if outcome.error is not None:
                self.windows.say(f"{number} was not created: {reason(outcome.error)}.")
            self._watched = []
            self._watch()
            self.edits.connected()

        self.connection.create_part(number, created)

    # -- commands --

    def show_dock(self) -> None:
        """Show the dock."""
        self.windows.show_dock()

    def ask_log_in(self) -> None:
        """Ask for the log-in."""
        try:
            url = self.connection.url or kept_url()
        except CredentialsError:
            url = ""
        self.windows.ask_log_in(url)

    def ask_part_number(self) -> None:
        """Ask for the part number of the active document."""
        if App.ActiveDocument is not None:
            self.windows.ask_part_number(App.ActiveDocument)

    def set_part_number(self, document: Any, number: str) -> None:
        """Give a document a part number; what is in edit is locked from then on."""
        parts.set_part_number(document, number)
        self.documents_changed()
        if self._in_edit and not self.entered(object_in_edit()):
            self.windows.end_edit()


class ReportView(logging.Handler):
    """Shows the client's warnings in FreeCAD's report view, from any thread."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        if record.levelno >= logging.WARNING:
            App.Console.PrintWarning(f"Silo Sessions: {record.getMessage()}\n")
