"""The questions to the user. None of them blocks FreeCAD; text of other people is shown as it is, never as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import FreeCADGui as Gui
from PySide import QtCore, QtGui

from silo_client import Holder
from silo_client.common.visible import visible

from .connection import LogInForm, is_private

KEPT = "The token is kept where `silo login` keeps it; the password is not."
READABLE = "The address is not https: others on the network can read the password and the token."

Answer = tuple[str, Callable[[], Any]]


def shown(text: Any) -> str:
    """Return text of others as it may be shown: without characters that cannot be seen or turn its direction."""
    return "\n".join(visible(line) for line in str(text).splitlines())


def holder_text(what: str, holder: Holder) -> str:
    """Say who edits something, where, and since when."""
    since = f" since {holder.acquired_at.astimezone():%H:%M:%S}" if holder.acquired_at else ""
    note = f" ({holder.note})" if holder.note else ""
    return f"{holder.person} is editing {what} on {holder.workstation}{since}{note}."


class Question(QtGui.QDialog):
    """A window with a text and a button for each answer, which stays until it is answered or closed.

    Args:
        title: of the window.
        text: the question.
        answers: the buttons and what they do. None is the default: a question may come up while the user types.
        message: what a line of text to write is for, and what Enter in it does; None for no line.
    """

    def __init__(
        self, title: str, text: str, answers: Sequence[Answer], message: Answer | None = None
    ) -> None:
        super().__init__(Gui.getMainWindow())
        self.setWindowTitle(title)
        self.setModal(False)
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self.setObjectName("SiloQuestion")
        layout = QtGui.QVBoxLayout(self)
        label = QtGui.QLabel(shown(text))
        label.setTextFormat(QtCore.Qt.PlainText)
        label.setWordWrap(True)
        label.setMinimumWidth(380)
        layout.addWidget(label)
        self.text = shown(text)
        # Whether it is still a question.
        self.still: Callable[[], bool] = lambda: True
        self._line: Any = None
        if message is not None:
            self._line = QtGui.QLineEdit()
            self._line.setPlaceholderText(message[0])
            self._line.returnPressed.connect(self._answering(message[1]))
            layout.addWidget(self._line)
        row = QtGui.QHBoxLayout()
        row.addStretch(1)
        for name, act in answers:
            button = QtGui.QPushButton(name)
            button.setAutoDefault(False)
            button.clicked.connect(self._answering(act))
            row.addWidget(button)
        layout.addLayout(row)

    @property
    def message(self) -> str:
        """What the user has written."""
        return self._line.text().strip() if self._line is not None else ""

    def _answering(self, act: Callable[[], Any]) -> Callable[..., None]:
        def answer(*_: Any) -> None:
            # The action may open another edit or window.
            QtCore.QTimer.singleShot(0, act)
            QtCore.QTimer.singleShot(0, self.close)

        return answer


class Questions:
    """The questions that are open, one about each thing."""

    def __init__(self) -> None:
        self._open: dict[Any, Question] = {}

    def ask(
        self,
        about: Any,
        title: str,
        text: str,
        answers: Sequence[Answer],
        message: Answer | None = None,
        still: Callable[[], bool] = lambda: True,
    ) -> Question:
        """Show a question, in place of an earlier one about the same. It may be asked within a slot of FreeCAD.

        Args:
            about: of the questions about one thing, only the latest is shown.
            title, text, answers, message: see `Question`.
            still: whether it is still a question.
        """
        before = self._open.pop(about, None)
        question = self._open[about] = Question(title, text, answers, message)
        question.still = still
        question.destroyed.connect(partial(self._closed, about, question))
        if before is not None:
            QtCore.QTimer.singleShot(0, before.close)
        QtCore.QTimer.singleShot(0, question.show)
        return question

    def close_about(self, about: Any) -> None:
        """Close the question about something, if there is one."""
        question = self._open.get(about)
        if question is not None:
            question.close()

    def close_answered(self) -> None:
        """Close those that are no questions any longer."""
        for question in list(self._open.values()):
            if not question.still():
                question.close()

    def _closed(self, about: Any, question: Question, *_: Any) -> None:
        if self._open.get(about) is question:
            del self._open[about]


class LogIn(QtGui.QDialog):
    """The log-in at a server.

    Args:
        url: the address to begin with.
        log_in: called with what was written; answers by `answered`.
    """

    def __init__(self, url: str, log_in: Callable[[LogInForm], None]) -> None:
        super().__init__(Gui.getMainWindow())
        self.setWindowTitle("Log in to Silo Sessions")
        self.setObjectName("SiloLogIn")
        self.setModal(False)
        form = QtGui.QFormLayout(self)
        self.url = QtGui.QLineEdit(url or "https://")
        self.url.setMinimumWidth(320)
        self.user, self.password, self.token = (QtGui.QLineEdit() for _ in range(3))
        for secret in (self.password, self.token):
            secret.setEchoMode(QtGui.QLineEdit.Password)
        self.token.setPlaceholderText("instead of user and password; made on the board")
        self.ca_file = QtGui.QLineEdit()
        self.ca_file.setPlaceholderText("a PEM file, if the server's certificate is not public")
        self.status = QtGui.QLabel()
        self._warn(self.url.text())
        self.status.setTextFormat(QtCore.Qt.PlainText)
        self.status.setWordWrap(True)
        self.button = QtGui.QPushButton("Log in")
        self.button.setDefault(True)
        for name, widget in (
            ("Server", self.url),
            ("User", self.user),
            ("Password", self.password),
            ("or token", self.token),
            ("CA file", self.ca_file),
        ):
            form.addRow(name, widget)
        form.addRow(self.status)
        form.addRow(self.button)
        self._log_in = log_in
        self.url.textChanged.connect(self._warn)
        self.button.clicked.connect(self._clicked)

    def _warn(self, url: str) -> None:
        self.status.setText(KEPT if is_private(url) else READABLE)

    def _clicked(self, *_: Any) -> None:
        self.button.setEnabled(False)
        self.status.setText("Logging in…")
        self._log_in(
            LogInForm(
                self.url.text(),
                self.token.text(),
                self.user.text(),
                self.password.text(),
                self.ca_file.text(),
            )
        )

    def answered(self, error: Exception | None) -> None:
        """Close, or say why it did not work."""
        self.button.setEnabled(True)
        if error is None:
            self.accept()
        else:
            self.status.setText(shown(error))
