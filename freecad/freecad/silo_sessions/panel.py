"""The dock: what this FreeCAD holds and waits for, who asks, who edits what else, what has happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import FreeCADGui as Gui
from PySide import QtCore, QtGui

from .dialogs import shown
from .overview import Row

# A text, and what a click on it does.
Button = tuple[str, Callable[[], Any]]
Section = tuple[str, Sequence[tuple[Row, Sequence[Button]]]]

NAME = "SiloDock"


class Panel(QtGui.QDockWidget):
    """The dock.

    Args:
        log_in: asks for a log-in.
        part_number: asks for the part number of the active document.
    """

    def __init__(self, log_in: Callable[[], Any], part_number: Callable[[], Any]) -> None:
        super().__init__("Silo Sessions", Gui.getMainWindow())
        self.setObjectName(NAME)
        inside = QtGui.QWidget()
        layout = QtGui.QVBoxLayout(inside)
        layout.setContentsMargins(4, 4, 4, 4)
        self._state = _label()
        self._banner = _label()
        self._banner.setObjectName("SiloBanner")
        self._banner.setStyleSheet(
            "background: #ffd75e; color: #222; padding: 5px; border-radius: 3px;"
        )
        self._tree = QtGui.QTreeWidget()
        self._tree.setHeaderHidden(True)
        self._tree.setColumnCount(2)
        self._tree.setWordWrap(True)
        self._tree.setSelectionMode(QtGui.QAbstractItemView.NoSelection)
        header = self._tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QtGui.QHeaderView.Stretch)
        header.setSectionResizeMode(1, QtGui.QHeaderView.ResizeToContents)
        buttons = QtGui.QHBoxLayout()
        for text, act in (("Part number…", part_number), ("Log in…", log_in)):
            buttons.addWidget(_button(text, act))
        buttons.addStretch(1)
        for widget in (self._state, self._banner, self._tree):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        self.setWidget(inside)
        self._shown: Any = None

    def show_state(self, state: str, banner: str, sections: Sequence[Section]) -> None:
        """Show the present state.

        Args:
            state: of the connection.
            banner: a warning, "" for none.
            sections: titles with their rows; those without rows are left out.
        """
        key = (state, banner, [(title, [row for row, _ in rows]) for title, rows in sections])
        if key == self._shown:
            return
        self._shown = key
        self._state.setText(shown(state))
        self._banner.setText(shown(banner))
        self._banner.setVisible(bool(banner))
        self._tree.clear()
        for title, rows in sections:
            if rows:
                self._add(title, rows)

    def _add(self, title: str, rows: Sequence[tuple[Row, Sequence[Button]]]) -> None:
        top = QtGui.QTreeWidgetItem([title, ""])
        font = top.font(0)
        font.setBold(True)
        top.setFont(0, font)
        self._tree.addTopLevelItem(top)
        for row, buttons in rows:
            item = QtGui.QTreeWidgetItem([shown(row.text), ""])
            # Qt takes a tool tip for HTML if it looks like it.
            item.setToolTip(0, _escaped(shown(row.hint)))
            top.addChild(item)
            if buttons:
                self._tree.setItemWidget(item, 1, _row_of(buttons))
        top.setExpanded(True)

    @property
    def lines(self) -> list[str]:
        """Everything that is shown, a line for each row."""
        tops = [self._tree.topLevelItem(index) for index in range(self._tree.topLevelItemCount())]
        found = [self._state.text(), self._banner.text()]
        for top in tops:
            found.append(top.text(0))
            found += [f"  {top.child(index).text(0)}" for index in range(top.childCount())]
        return [line for line in found if line]


def _label() -> Any:
    label = QtGui.QLabel()
    label.setTextFormat(QtCore.Qt.PlainText)
    label.setWordWrap(True)
    return label


def _button(text: str, act: Callable[[], Any]) -> Any:
    button = QtGui.QPushButton(text)
    button.clicked.connect(lambda *_: QtCore.QTimer.singleShot(0, act))
    return button


def _row_of(buttons: Sequence[Button]) -> Any:
    widget = QtGui.QWidget()
    layout = QtGui.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for text, act in buttons:
        button = _button(text, act)
        button.setStyleSheet("padding: 1px 6px;")
        layout.addWidget(button)
    return widget


def _escaped(text: str) -> str:
    lines = (line.replace("&", "&amp;").replace("<", "&lt;") for line in text.splitlines())
    return "<br>".join(lines)
