"""The commands: part number, log in, show the dock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import FreeCAD as App
import FreeCADGui as Gui


class Command:
    """A command of FreeCAD.

    Args:
        text: its name in menus.
        hint: what it does.
        icon: one of FreeCAD's own.
        run: does it.
        needs_document: whether it acts on the active document.
    """

    def __init__(
        self, text: str, hint: str, icon: str, run: Callable[[], None], *, needs_document: bool
    ) -> None:
        self._resources = {"MenuText": text, "ToolTip": hint, "Pixmap": icon}
        self._run = run
        self._needs_document = needs_document

    def GetResources(self) -> dict[str, str]:
        """Return text and icon."""
        return self._resources

    def IsActive(self) -> bool:
        """Whether it can be used now."""
        return not self._needs_document or App.ActiveDocument is not None

    def Activated(self, index: int = 0) -> None:
        """Do it."""
        self._run()


def _call(name: str) -> Callable[[], None]:
    def run() -> None:
        # Not at the import: the application imports nothing of this module, but starts later.
        from .application import running

        application: Any = running()
        getattr(application, name)()

    return run


NAMES = {
    "Silo_PartNumber": Command(
        "Part number…",
        "Say which part of the server this document is",
        "Std_DlgCustomize",
        _call("ask_part_number"),
        needs_document=True,
    ),
    "Silo_LogIn": Command(
        "Log in…",
        "Log in to a Silo Sessions server",
        "Std_DlgPreferences",
        _call("ask_log_in"),
        needs_document=False,
    ),
    "Silo_Dock": Command(
        "Show the dock",
        "Show who edits what",
        "Std_DockViewMenu",
        _call("show_dock"),
        needs_document=False,
    ),
}


def register() -> None:
    """Make the commands known to FreeCAD."""
    for name, command in NAMES.items():
        Gui.addCommand(name, command)
