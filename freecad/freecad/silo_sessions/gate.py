"""Functions of other threads, called in the GUI thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import FreeCAD as App
from PySide import QtCore


class Gate(QtCore.QObject):
    """Calls functions in the thread in which it was made: the GUI's."""

    # `QTimer.singleShot` does nothing in a thread without an event loop of Qt.
    _given = QtCore.Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._given.connect(self._call, QtCore.Qt.QueuedConnection)

    def post(self, call: Callable[[], Any]) -> None:
        """Have a function called soon. Any thread may post."""
        self._given.emit(call)

    def _call(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception:
            App.Console.PrintError(f"Silo Sessions: {traceback.format_exc()}\n")
