"""The dock: what this FreeCAD holds and waits for, who asks, who edits what else, what has happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import FreeCAD as App
import FreeCADGui as Gui
from PySide import QtCore, QtGui

from .dialogs import shown
from .overview import Row

# A text, and what a click on it does.
Button = tuple[str, Callable[[], Any]]
Section = tuple[str, Sequence[tuple[Row, Sequence[Button]]]]

NAME = "SiloDock"
# Readable whatever the theme.
BANNER = "background: #ffd75e; color: #222; padding: 5px; border-radius: 3px;"


class Panel(QtGui.QDockWidget):
    """The dock.

    Args:
        log_in: asks for a log-in.
        part_number: asks for the part number of the active document.
        connect: connects with the log-in that is kept.
    """

    def __init__(
        self,
        log_in: Callable[[], Any],
        part_number: Callable[[], Any],
        connect: Callable[[], Any],
    ) -> None:
        super().__init__("Silo Sessions", Gui.getMainWindow())
        self.setObjectName(NAME)
        inside = QtGui.QWidget()
        layout = QtGui.QVBoxLayout(inside)
        layout.setContentsMargins(6, 4, 6, 4)
        self._state = _label("")
        self._banner = _label("")
        self._banner.setStyleSheet(BANNER)
        self._scroll = QtGui.QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        for widget in (self._state, self._banner, self._scroll):
            layout.addWidget(widget)
        self._connect = _row_of([("Connect", connect)])
        layout.addWidget(self._connect)
        layout.addWidget(_row_of([("Part number…", part_number), ("Log in…", log_in)]))
        self.setWidget(inside)
        self._shown: Any = None
        self.lines: list[str] = []

    def show_state(
        self, state: str, banner: str, sections: Sequence[Section], *, connected: bool
    ) -> None:
        """Show the present state.

        Args:
            state: of the connection.
            banner: a warning, "" for none.
            sections: titles with their rows; those without rows are left out.
            connected: whether there is nothing to connect.
        """
        texts = [(title, [row for row, _ in rows]) for title, rows in sections if rows]
        if (state, banner, texts) == self._shown:
            return
        self._shown = state, banner, texts
        if banner and shown(banner) != self._banner.text() and not self.isVisible():
            # FreeCAD shows it in the status bar and the report view.
            App.Console.PrintWarning(f"Silo Sessions: {shown(banner)}\n")
        self._connect.setVisible(not connected)
        self._state.setText(shown(state))
        self._banner.setText(shown(banner))
        self._banner.setVisible(bool(banner))
        content = QtGui.QWidget()
        layout = QtGui.QVBoxLayout(content)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(3)
        for title, rows in sections:
            if rows:
                heading = _label(title)
                heading.setStyleSheet("font-weight: bold; margin-top: 6px;")
                layout.addWidget(heading)
            for row, buttons in rows:
                line = _label(row.text)
                line.setToolTip(_escaped(shown(row.hint)))
                layout.addWidget(line)
                if buttons:
                    layout.addWidget(_row_of(buttons))
        layout.addStretch(1)
        # This deletes the content before, and with it perhaps the button that was clicked: a click acts later.
        self._scroll.setWidget(content)
        lines = [shown(one) for one in (state, banner) if one]
        for title, found in texts:
            lines += [title, *(f"  {shown(row.text)}" for row in found)]
        self.lines = lines


def _label(text: str) -> Any:
    label = QtGui.QLabel(shown(text))
    label.setTextFormat(QtCore.Qt.PlainText)
    label.setWordWrap(True)
    return label


def _row_of(buttons: Sequence[Button]) -> Any:
    widget = QtGui.QWidget()
    layout = QtGui.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 2)
    for text, act in buttons:
        layout.addWidget(_button(text, act))
    layout.addStretch(1)
    return widget


def _button(text: str, act: Callable[[], Any]) -> Any:
    button = QtGui.QPushButton(text)
    button.setStyleSheet("padding: 2px 8px;")
    button.clicked.connect(lambda *_: QtCore.QTimer.singleShot(0, act))
    return button


def _escaped(text: str) -> str:
    """Return a tool tip, which Qt takes for HTML if it looks like it."""
    lines = (line.replace("&", "&amp;").replace("<", "&lt;") for line in text.splitlines())
    return "<br>".join(lines)
