"""Why there is no lock, in words. Knows no FreeCAD."""

from __future__ import annotations

from silo_client import ApiError, Lost, ServerUnavailableError

# What the ways of losing a session mean to its user.
LOST = {
    "disconnected": "the connection was interrupted",
    "expired": "the server heard nothing of this FreeCAD for too long",
    "force_released": "an administrator ended it",
    "handed_off": "it was handed over",
    "idle": "nobody used this FreeCAD for too long",
    "released": "it was released elsewhere",
    "workstation_deleted": "this workstation was deleted",
}


def reason(error: Exception) -> str:
    """Say in a few words why there is no lock."""
    if isinstance(error, ServerUnavailableError):
        return "the server cannot be reached"
    if isinstance(error, ApiError):
        return error.message.rstrip(".")
    return str(error).rstrip(".")


def lost_text(how: Lost) -> str:
    """Say how a lock was lost."""
    text = LOST.get(how.reason, "the server says that it has ended")
    return text + (f" ({how.by}: {how.note})" if how.by else "")
