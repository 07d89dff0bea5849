"""What FreeCAD imports when its window opens: the workbench with the commands, and the start of the add-on."""

from __future__ import annotations

import FreeCADGui as Gui
from PySide import QtCore

from . import commands, preferences
from .application import start


class SiloWorkbench(Gui.Workbench):
    """The commands of Silo Sessions. The locks work in every workbench."""

    MenuText = "Silo Sessions"
    ToolTip = "Edit parts without getting in each other's way"
    Icon = str(preferences.ICON)

    def Initialize(self) -> None:
        """Add the commands; called by FreeCAD at the first activation."""
        self.appendToolbar("Silo Sessions", list(commands.NAMES))
        self.appendMenu("Silo Sessions", list(commands.NAMES))

    def GetClassName(self) -> str:
        """Return FreeCAD's class of workbenches in Python."""
        return "Gui::PythonWorkbench"


commands.register()
Gui.addWorkbench(SiloWorkbench())
# When the window is there and its event loop runs.
QtCore.QTimer.singleShot(0, start)
