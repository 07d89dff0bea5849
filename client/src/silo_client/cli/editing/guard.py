"""What the holder of a session is told while a command runs: it is lost, it is in doubt, somebody asks for it."""

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

# How often it is seen whether the session is certain.
LOOK_SECONDS = 0.5

WHY = {
    "released": "it was released from elsewhere",
    "disconnected": "the server lost the connection to this machine",
    "expired": "the server heard nothing of this machine for too long",
    "handed_off": "it was handed over",
    "idle": "nobody has touched this workstation for too long",
    "workstation_deleted": "this workstation was deleted",
}


class Guard:
    """Watches over a session, and tells the person at the terminal.

    Args:
        api: of the server.
        on_lost: called once the person is told that it is lost.
    """

    def __init__(self, api: Api, on_lost: Callable[[], None]) -> None:
        self.lost = threading.Event()
        self._api = api
        self._on_lost = on_lost
        self._stopped = threading.Event()
        self._refused = ""

    # -- callbacks of the workstation --

    def tell_lost(self, session: EditSession, lost: Lost) -> None:
        """Have the command end if that is wanted; say loudly that it is lost, why, and who has it now."""
        # First: a terminal that is gone, or stopped by Ctrl-S, keeps nobody.
        self.lost.set()
        self._on_lost()
        err.bell()
        say(f"LOST: {session.lock} is no longer yours: {why(lost)}.", ALARM)
        if holder := self._holder(session.lock):
            say(f"{holder}. What is saved from now on may collide with that work.", ALARM)

    def tell_request(self, request: HandoffRequest) -> None:
        """Say who asks for it, and how that is answered."""
        message = f": “{request.message}”" if request.message else ""
        say(f"{request.person} asks for {request.lock}{message}", WARNING)
        if request.workstation_id:
            answer = command_for("handoff", request.lock, "--to", request.workstation_id)
            say(f"To hand it over: {answer}", WARNING)
        else:
            answer = command_for("handoff", request.lock)
            say(f"To hand it to the first in line (silo line): {answer}", WARNING)

    def tell_conflict(self, session: EditSession, conflict: Conflict) -> None:
        """Say who begins to edit what one's own changes can reach."""
        say(f"{meeting(conflict)}.", WARNING)

    def tell_conflict_over(self, session: EditSession, conflict: Conflict) -> None:
        """Say that it is over."""
        holder = conflict.holder
        say(
            f"What {holder.person} is editing on {holder.workstation} no longer conflicts with your changes"
            " (the session has ended, or is on something else)."
        )

    def tell_refused(self, error: Exception) -> None:
        """Keep why the server does not want this workstation any more; said once the session is in doubt."""
        self._refused = str(error)

    # -- doubt --

    def watch(self, session: EditSession) -> None:
        """Say when it is not certain that the session is held, and when it is again, until `stop`."""
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
                    " Better save nothing until it is.",
                    WARNING,
                )

    def pause(self, seconds: float) -> None:
        """Wait so long while this watches."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """The command has ended."""
        self._stopped.set()

    def is_kept(self, session: EditSession) -> bool | None:
        """Return whether it was held until now, None if nobody can say. Says it where it was not certainly."""
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
        """Return who has it now, as far as the server tells."""
        with suppress(SiloError):
            for told in self._api.sessions_of(lock.part_number)["sessions"]:
                if Lock.from_payload(told) == lock:
                    since = when(time_of(told["acquired_at"]))
                    place = told["workstation"]["name"]
                    return f"{person(told)} is editing it on {place} since {since}"
        return ""


def meeting(conflict: Conflict) -> str:
    """Return in words that another session interferes softly with one's own."""
    holder = conflict.holder
    what = f"{holder.object_id} ({holder.level})" if holder.object_id else "the whole part"
    note = f" (“{holder.note}”)" if holder.note else ""
    return f"{holder.person} is editing {what} on {holder.workstation}{note}; your changes may conflict"


def why(lost: Lost) -> str:
    """Return in words how a session was lost."""
    if lost.reason == "force_released":
        note = f": “{lost.note}”" if lost.note else ""
        return f"{lost.by or 'an admin'} released it by force{note}"
    return WHY.get(lost.reason) or lost.note or "the server says that it has ended"
