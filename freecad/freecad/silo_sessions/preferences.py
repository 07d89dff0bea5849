"""What a user can choose. No secret is kept here: every user of the machine can read FreeCAD's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import FreeCAD as App
import FreeCADGui as Gui

GROUP = "User parameter:BaseApp/Preferences/Mod/SiloSessions"
PAGE = Path(__file__).with_name("preferences.ui")
ICONS = Path(__file__).with_name("icons")
ICON = ICONS / "preferences-silo_sessions.svg"


def _group() -> Any:
    return App.ParamGet(GROUP)


def connect_at_start() -> bool:
    """Whether FreeCAD connects when it starts."""
    return bool(_group().GetBool("ConnectAtStart", True))


def direct_changes() -> bool:
    """Whether changes without an edit (property editor, spreadsheet) acquire a lock too."""
    return bool(_group().GetBool("DirectChanges", True))


def show_dock() -> bool:
    """Whether the dock is shown when FreeCAD starts."""
    return bool(_group().GetBool("ShowDock", True))


def helper_python() -> str | None:
    """Return the interpreter of the helper process, where it was named."""
    return str(_group().GetString("HelperPython", "")) or None


def register() -> None:
    """Add the page to FreeCAD's preferences. Its icon is found by the group's name."""
    Gui.addIconPath(str(ICONS))
    Gui.addPreferencePage(str(PAGE), "Silo Sessions")
