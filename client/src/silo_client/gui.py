"""Ready values for `dispatch`, by which a program's callbacks are called in the thread of its windows.

Nothing is imported here: the program has imported its toolkit already.
"""

from __future__ import annotations

import queue
import sys
import threading
from contextlib import suppress
from typing import Any

from silo_client.callbacks import Call, Dispatch

QT_BINDINGS = ("PySide6", "PySide2", "PyQt6", "PyQt5")
# Nobody notices such a delay of a callback, and such a look costs nothing.
TK_LOOK_MILLISECONDS = 50


def qt_dispatch() -> Dispatch:
    """Return a `dispatch` for a program with Qt, by the binding that it has imported.

    May be called in any thread, once the application object is there. The callbacks are called by its event loop.

    Raises:
        RuntimeError: no binding is imported, or there is no application object.
    """
    core = _qt_core()
    application = core.QCoreApplication.instance()
    slot = getattr(core, "Slot", None) or core.pyqtSlot
    base: Any = core.QObject
    calls: queue.SimpleQueue[Call] = queue.SimpleQueue()

    class Gate(base):  # type: ignore[misc]
        """An object of the application's thread."""

        @slot()  # type: ignore[untyped-decorator]
        def run(self) -> None:
            calls.get_nowait()()

    gate = Gate()
    gate.moveToThread(application.thread())
    # Looked up once: PySide6 makes them when they are first used, and not for two threads at once.
    running, ending = core.QCoreApplication.instance, core.QCoreApplication.closingDown
    invoke, queued = core.QMetaObject.invokeMethod, core.Qt.ConnectionType.QueuedConnection

    def dispatch(call: Call) -> None:
        if running() is None or ending():
            raise RuntimeError("the Qt application has ended")
        calls.put(call)
        # No signal: `emit` of PySide6 6.12.0 is wrong about the references to `True` on a Python before 3.12.
        invoke(gate, "run", queued)

    return dispatch


def tk_dispatch(root: Any) -> Dispatch:
    """Return a `dispatch` for a program with tkinter. To be called in the thread of its windows.

    Tk's own functions, `after` and `event_generate` included, wait for the main loop when another thread calls them,
    and fail where it does not run. So calls are queued, and the main loop looks for them.

    Args:
        root: the program's main window, or any other widget that lives as long.
    """
    calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
    gone = threading.Event()

    def note_end(event: Any) -> None:
        # A window is told of the end of each of its parts, too.
        if event.widget is root:
            gone.set()

    def look() -> None:
        # First of all: a callback that opens a dialog returns when that is closed, and meanwhile others are called.
        if not gone.is_set():
            root.after(TK_LOOK_MILLISECONDS, look)
        # Those that are queued meanwhile wait for the next time, so that windows are drawn.
        for _ in range(calls.qsize()):
            with suppress(queue.Empty):
                calls.get_nowait()()

    def dispatch(call: Call) -> None:
        if gone.is_set():
            raise RuntimeError("the window has been closed")
        calls.put(call)

    root.bind("<Destroy>", note_end, add="+")
    root.after(TK_LOOK_MILLISECONDS, look)
    return dispatch


def _qt_core() -> Any:
    """Return the `QtCore` of the binding that the program uses."""
    cores = [
        core for name in QT_BINDINGS if (core := sys.modules.get(f"{name}.QtCore")) is not None
    ]
    if not cores:
        raise RuntimeError(
            f"No Qt binding is imported: import QtCore of {' or '.join(QT_BINDINGS)} first."
        )
    for core in cores:
        if core.QCoreApplication.instance() is not None:
            return core
    raise RuntimeError("There is no Qt application yet: make the QApplication first.")
