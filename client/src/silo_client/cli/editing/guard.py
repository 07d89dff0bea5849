"""Messages to the holder of a session while a command runs: it is lost or uncertain, or another user asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from silo_client.api import Api
from silo_client.cli.output import ALARM, WARNING, err, say, when
from silo_client.cli.sessions import command_for
from silo_client.data import Conflict, HandoffRequest, Lock, Lost, person, time_of
from silo_client.errors import ApiError, ServerUnavailableError, SiloError, StaleTokenError
from silo_client.sessions.edit_session import EditSession

# How often `valid` is read.
LOOK_SECONDS = 0.5

WHY = {
    "released": "it was released from elsewhere",
    "disconnected": "the server lost the connection to this machine",
    "expired": "the server heard nothing from this machine for too long",
    "handed_off": "it was handed over",
    "idle": "this workstation was idle for too long",
    "workstation_deleted": "this workstation was deleted",
}


class Guard:
    """Watches over a session, and reports to the person at the terminal.

    Args:
        api: the server.
        on_lost: called when the session is lost.
    """

    def __init__(self, api: Api, on_lost: Callable[[], None]) -> None:
        self.lost = threading.Event()
        self._api = api
        self._on_lost = on_lost
        self._stopped = threading.Event()
        self._refused = ""

    # -- callbacks of the workstation --

    def say_lost(self, session: EditSession, lost: Lost) -> None:
        """Call `on_lost`; say that the session is lost, why, and who has the lock now."""
        # First: a terminal that is gone, or stopped by Ctrl-S, must not delay this.
        self.lost.set()
        self._on_lost()
        err.bell()
        say(f"LOST: {session.lock} is no longer yours: {why(lost)}.", ALARM)
        if holder := self._holder(session.lock):
            say(f"{holder}. Files that you save from now on may collide with that work.", ALARM)

    def say_request(self, request: HandoffRequest) -> None:
        """Say who asks for the session, and how to answer."""
        message = f": “{request.message}”" if request.message else ""
        say(f"{request.person} asks for {request.lock}{message}", WARNING)
        if request.workstation_id:
            answer = command_for("handoff", request.lock, "--to", request.workstation_id)
            say(f"To hand it over: {answer}", WARNING)
        else:
            answer = command_for("handoff", request.lock)
            say(f"To hand it to the first in line (silo line): {answer}", WARNING)

    def say_conflict(self, session: EditSession, conflict: Conflict) -> None:
        say(f"{describe_conflict(conflict)}.", WARNING)

    def say_conflict_over(self, session: EditSession, conflict: Conflict) -> None:
        holder = conflict.holder
        say(
            f"The session of {holder.person} on {holder.workstation} no longer conflicts with your changes"
            " (it has ended, or its cone has changed)."
        )

    def keep_refusal(self, error: Exception) -> None:
        """Keep why the server refuses this workstation, to say it when the session is no longer certain."""
        self._refused = str(error)

    # -- certainty --

    def watch(self, session: EditSession) -> None:
        """Say when the session is no longer certain, and when it is again, until `stop`."""
        certain = True
        while not self._stopped.wait(LOOK_SECONDS) and session.lost is None:
            valid = session.valid
            if valid == certain or session.lost is not None:
                continue
            certain = valid
            if certain:
                say(f"It is certain again that {session.lock} is yours.", WARNING)
            else:
                why = f" ({self._refused})" if self._refused else ""
                say(
                    f"It is not certain that {session.lock} is still yours: the server cannot be asked{why}."
                    " Do not save until it is certain again.",
                    WARNING,
                )

    def pause(self, seconds: float) -> None:
        """Wait for so many seconds, or until `stop`."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """End `watch`: the command has ended."""
        self._stopped.set()

    def is_kept(self, session: EditSession) -> bool | None:
        """Return whether the session was held until now; None if that is not known. Say so where it was not."""
        if session.lost is not None:
            return False
        if session.valid:
            return True
        try:
            self._api.verify(session.part_number, session.id, session.fencing_token)
        except StaleTokenError:
            say(f"LOST: {session.lock} had ended before the command did.", ALARM)
            return False
        except (ApiError, ServerUnavailableError) as error:
            say(f"It is not certain that {session.lock} was yours until the end: {error}", ALARM)
            return None
        return True

    def _holder(self, lock: Lock) -> str:
        """Return a sentence about the present holder; "" where there is none, or the server cannot be asked."""
        with suppress(SiloError):
            for payload in self._api.sessions_of(lock.part_number)["sessions"]:
                if Lock.from_payload(payload) == lock:
                    since = when(time_of(payload["acquired_at"]))
                    place = payload["workstation"]["name"]
                    return f"{person(payload)} is editing it on {place} since {since}"
        return ""


def describe_conflict(conflict: Conflict) -> str:
    """Return a sentence about a session that interferes softly with an own one."""
    holder = conflict.holder
    what = f"{holder.object_id} ({holder.level})" if holder.object_id else "the whole part"
    note = f" (“{holder.note}”)" if holder.note else ""
    return f"{holder.person} is editing {what} on {holder.workstation}{note}; your changes may conflict"


def why(lost: Lost) -> str:
    """Return as text how a session was lost."""
    if lost.reason == "force_released":
        note = f": “{lost.note}”" if lost.note else ""
        return f"{lost.by or 'an admin'} released it by force{note}"
    return WHY.get(lost.reason) or lost.note or "the server says that it has ended"
