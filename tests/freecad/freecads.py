"""FreeCAD as a process, on a screen of its own, driven from a test."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from tests.processes.service import Process
from tests.waiting import PATIENCE_SECONDS, eventually

FREECAD = os.environ.get("SILO_TEST_FREECAD") or shutil.which("freecad") or "freecad"
DRIVER = str(Path(__file__).with_name("driver.py"))
# A recompute may take this long on a busy machine.
START_SECONDS = 90.0
# As root, FreeCAD's start page does not come up.
USER_CFG = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<FCParameters><FCParamGroup Name="Root"><FCParamGroup Name="BaseApp"><FCParamGroup Name="Preferences">
<FCParamGroup Name="General"><FCText Name="AutoloadModule">PartDesignWorkbench</FCText>
<FCBool Name="AutoloadTab" Value="0"/></FCParamGroup>
<FCParamGroup Name="Document"><FCBool Name="CreateBackupFiles" Value="0"/></FCParamGroup>
</FCParamGroup></FCParamGroup></FCParamGroup></FCParameters>
"""


# What the code of tests may name.
NAMES = """
from freecad.silo_sessions import application, connection, edits
from freecad.silo_sessions.dialogs import Question
silo = lambda: application.running()
usual = edits.ACQUIRE_SECONDS, connection.PATIENCE_SECONDS
"""
CLOSE_ALL = """
while Gui.editDocument() is not None:
    Gui.editDocument().resetEdit()
for window in QtGui.QApplication.topLevelWidgets():
    if isinstance(window, Question):
        window.close()
for name in list(App.listDocuments()):
    App.closeDocument(name)
silo().windows.forget_messages()
"""


class Screen(Process):
    """An X server without a screen.

    Args:
        size: width, height and depth.
    """

    def __init__(self, size: str = "1280x900x24") -> None:
        reading, writing = os.pipe()
        try:
            self._read_display = reading
            command = (
                "Xvfb",
                "-displayfd",
                str(writing),
                "-screen",
                "0",
                size,
                "-nolisten",
                "tcp",
            )
            self._writing = writing
            super().__init__(*command, env=dict(os.environ))
        finally:
            os.close(writing)
        with os.fdopen(reading) as file:
            self.display = f":{file.readline().strip()}"

    def _start(self, command: Any, env: Any, stdin: Any, cwd: Any) -> Any:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self._writing],
            start_new_session=True,
        )


class FreeCad(Process):
    """A FreeCAD of one user.

    Args:
        folder: the user's home, with the add-on in it.
        display: the screen.
        env: further variables.
    """

    def __init__(self, folder: Path, display: str, **env: str) -> None:
        self.folder = folder
        self._socket = folder / "driver"
        self._socket.unlink(missing_ok=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SILO_", "XDG_", "PYTHON", "VIRTUAL_ENV"))
        }
        super().__init__(
            FREECAD,
            DRIVER,
            env=kept
            | {
                "HOME": str(folder),
                "DISPLAY": display,
                "LC_ALL": "C.UTF-8",
                "SILO_TEST_SOCKET": str(self._socket),
                "LIBGL_ALWAYS_SOFTWARE": "1",
            }
            | env,
            cwd=folder,
        )
        self._client = socket.socket(socket.AF_UNIX)
        self._file: TextIO | None = None
        try:
            eventually(self._reached, f"FreeCAD in:\n{self.output}", START_SECONDS)
            self._file = self._client.makefile("r")
            self.do(NAMES)
            self.takes_time()
        except BaseException:
            self.close()
            raise

    def _reached(self) -> bool:
        assert self.running, f"ended:\n{self.output}"
        return self._client.connect_ex(str(self._socket)) == 0

    def do(self, code: str, within: float = START_SECONDS) -> Any:
        """Execute code in the GUI thread; return what it assigns to `answer`."""
        return self.send(code)(within)

    def send(self, code: str) -> Any:
        """Execute code; return what waits for the answer."""
        self._client.sendall(json.dumps(code).encode() + b"\n")

        def answer(within: float = START_SECONDS) -> Any:
            self._client.settimeout(within)
            assert self._file is not None
            line = self._file.readline()
            assert line, f"FreeCAD has ended:\n{self.output}"
            got = json.loads(line)
            assert "error" not in got, got["error"]
            return got["answer"]

        return answer

    def value(self, expression: str) -> Any:
        """Return the value of an expression."""
        return self.do(f"answer = {expression}")

    def until(self, expression: str, within: float = PATIENCE_SECONDS) -> Any:
        """Wait until an expression is true; return its value."""
        return self._await(lambda: self.value(expression), expression, within)

    def _await(self, condition: Callable[[], Any], what: str, within: float) -> Any:
        """Wait for a condition; if it does not come, say what FreeCAD shows then."""
        try:
            return eventually(condition, what, within)
        except AssertionError as error:
            shown = f"{self.dock}, {self.questions}\n{self.output}" if self.running else self.output
            raise AssertionError(f"{error}, but: {shown}") from None

    # -- what its user sees --

    @property
    def dock(self) -> list[str]:
        """The lines of the dock."""
        return list(self.value("silo().windows.panel.lines"))

    def shows(self, text: str, within: float = PATIENCE_SECONDS) -> None:
        """Wait until the dock shows a text."""
        self._await(lambda: any(text in line for line in self.dock), repr(text), within)

    def shows_not(self, text: str, within: float = PATIENCE_SECONDS) -> None:
        """Wait until the dock no longer shows a text."""
        self._await(lambda: all(text not in line for line in self.dock), f"no {text!r}", within)

    @property
    def questions(self) -> list[str]:
        """The texts of the questions that are open."""
        return list(
            self.value(
                "[one.text for one in QtGui.QApplication.topLevelWidgets()"
                " if isinstance(one, Question) and one.isVisible()]"
            )
        )

    def asked(self, text: str, within: float = PATIENCE_SECONDS) -> str:
        """Wait for a question that contains a text; return it."""

        def look() -> str | None:
            return next((one for one in self.questions if text in one), None)

        return str(self._await(look, f"a question with {text!r}", within))

    def answers(self, button: str) -> None:
        """Click a button of the question that is open."""
        self.do(
            "[one.click() for window in QtGui.QApplication.topLevelWidgets()"
            " if isinstance(window, Question) and window.isVisible()"
            f" for one in window.findChildren(QtGui.QPushButton) if one.text() == {button!r}][0]"
        )

    def clicks(self, button: str) -> None:
        """Click a button of the dock."""
        self.do(
            "[one.click() for one in silo().windows.panel.findChildren(QtGui.QPushButton)"
            f" if one.text() == {button!r}][0]"
        )

    # -- what its user does --

    def opens(self, file: Path) -> None:
        """Open a document."""
        self.do(f"App.openDocument({str(file)!r})")

    def enters(self, name: str) -> bool:
        """Enter the edit of an object; return whether it is in edit."""
        return bool(
            self.do(
                f"Gui.ActiveDocument.setEdit({name!r})\nanswer = Gui.editDocument() is not None"
            )
        )

    @property
    def in_edit(self) -> bool:
        """Whether something is in edit."""
        return bool(self.value("Gui.editDocument() is not None"))

    def leaves(self) -> None:
        """Leave the edit."""
        self.do("Gui.editDocument().resetEdit()")

    def connected(self) -> None:
        """Wait until it is connected."""
        self.until("silo().connection.connected", 60)

    def takes_time(self) -> None:
        """Wait for the server's answers as long as a test does: mostly no matter how busy the machine is."""
        self.do(f"edits.ACQUIRE_SECONDS = connection.PATIENCE_SECONDS = {PATIENCE_SECONDS}")

    def hurries(self) -> None:
        """Wait for them as long as the add-on has its users wait."""
        self.do("edits.ACQUIRE_SECONDS, connection.PATIENCE_SECONDS = usual")

    def settled(self) -> None:
        """Wait until all that was asked of the server so far has its answer, and that answer its consequences."""
        self.do("ends = []\nsilo().connection._worker.do(lambda: None, ends.append)")
        self.until("len(ends)", START_SECONDS)

    def closes_all(self) -> None:
        """Close all documents and questions, and give up what is held."""
        self.do(CLOSE_ALL)
        self.settled()

    def close(self) -> None:
        super().close()
        if self._file is not None:
            self._file.close()
        self._client.close()
