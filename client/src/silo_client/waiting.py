"""Standing in line until one's turn comes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable

from silo_client.data import Holder, Waiting, Wanted
from silo_client.errors import (
    ApiError,
    NotConnectedError,
    NotFoundError,
    ServerUnavailableError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from silo_client.api import Api
    from silo_client.edit_session import EditSession
    from silo_client.workstation import Workstation

# Often enough for the windows of who waits to be drawn by the callback.
CALL_SECONDS = 0.2
# Others who leave the line tell nobody: one's own position is asked for.
LOOK_SECONDS = 5.0
# A turn that comes in the moment in which the place is given up is told by then.
TURN_SECONDS = 2.0

OnWait = Callable[[Waiting], Any]


class Line:
    """One waiting for one lock.

    Args:
        workstation: who waits.
        wanted: for what.
        on_wait: called in this thread several times a second; what it raises ends the waiting.
        ask: if not "", the holder is asked for a hand-off with this message.
    """

    def __init__(
        self, workstation: Workstation, wanted: Wanted, on_wait: OnWait | None, ask: str
    ) -> None:
        self._workstation = workstation
        self._api: Api = workstation.api
        self._holdings = workstation.holdings
        self._wanted = wanted
        self._on_wait = on_wait
        self._ask = ask
        self._begun = time.monotonic()
        self._place: str | None = None
        # Whether what is there by now was not another window's before.
        self._elsewhere = self._holdings.is_held_elsewhere(wanted.lock)
        self._asked_once = False
        self._position = 0
        self._holder: Holder | None = None
        self._connection: str | None = None
        self._look_at = 0.0

    def wait(self, deadline: float) -> EditSession:
        """Wait, at most until `time.monotonic` is at the deadline (infinite for ever); return the session.

        Raises:
            WaitTimeoutError: the turn did not come.
        """
        try:
            while True:
                if session := self._look(deadline):
                    return session
                if time.monotonic() >= deadline:
                    break
                self._tell()
        except BaseException:
            if session := self._give_up():
                session.release()
            raise
        if session := self._give_up():
            return session
        seconds = time.monotonic() - self._begun
        raise WaitTimeoutError(
            f"{self._wanted.lock} was not free within {seconds:.0f} s; the place in line is given up."
        )

    def _look(self, deadline: float) -> EditSession | None:
        """See that there is a place, then wait a little for the turn."""
        until = min(deadline, time.monotonic() + CALL_SECONDS)
        connection = self._holdings.connection
        if connection is None:
            if self._holdings.final is not None:
                raise self._holdings.final
            with suppress(ServerUnavailableError):
                self._holdings.await_connection(until)
            return None
        with suppress(NotConnectedError, ServerUnavailableError):
            # Whether the place is still there after a new connection, asking for it again tells.
            if self._place is None or connection != self._connection:
                if session := self._stand(connection):
                    return session
            elif time.monotonic() >= self._look_at:
                self._see()
        told = self._holdings.granted_for(self._wanted.lock, until)
        return self._take(told, connection) if told else None

    def _stand(self, connection: str) -> EditSession | None:
        own, self._asked_once = self._asked_once and not self._elsewhere, True
        with self._workstation.asking_for([self._wanted]):
            answer = self._api.stand(self._wanted, self._workstation.id, connection)
            self._connection = connection
            if "position" not in answer:
                return self._take(answer, connection, own=own)
        self._leave_place()
        self._place = str(answer["request_id"])
        self._workstation.stands(self._place, self._wanted.part_number)
        self._position = int(answer["position"])
        self._holder = Holder.of(answer["holder"]) if answer.get("holder") else None
        self._look_at = time.monotonic() + LOOK_SECONDS
        if self._ask and self._holder:
            message, self._ask = self._ask, ""
            with suppress(ApiError):  # it has ended just now, or it is the same user's
                self._api.request_handoff(
                    self._wanted.part_number,
                    self._holder.session_id,
                    message,
                    self._workstation.id,
                )
        return None

    def _see(self) -> None:
        """Ask for the position. A place that is gone was lost, or its turn has come: standing again tells which."""
        self._look_at = time.monotonic() + LOOK_SECONDS
        line = self._api.line(self._wanted.part_number)
        mine = [place for place in line if place["request_id"] == self._place]
        if mine:
            self._position = int(mine[0]["position"])
        else:
            self._leave_place()

    def _take(
        self, told: Mapping[str, Any], connection: str, *, own: bool = True
    ) -> EditSession | None:
        session = self._workstation.take(told, connection, own=own)
        if session is not None:
            self._leave_place()
        return session

    def _leave_place(self) -> None:
        if self._place is not None:
            self._workstation.stands_no_more(self._place)
            self._place = None

    def _tell(self) -> None:
        if self._on_wait is not None and self._place is not None:
            seconds = time.monotonic() - self._begun
            self._on_wait(Waiting(self._wanted.lock, self._position, self._holder, seconds))

    def _give_up(self) -> EditSession | None:
        """Leave the line; return the session if the turn has come in this moment."""
        if self._place is None:
            return None
        place = self._place
        self._leave_place()
        try:
            self._api.leave_line(self._wanted.part_number, place)
        except NotFoundError:
            until = time.monotonic() + TURN_SECONDS
            if told := self._holdings.granted_for(self._wanted.lock, until):
                return self._take(told, self._holdings.connection or "")
        except (ApiError, ServerUnavailableError):
            # The place is lost with the stream, or its turn comes and the helper is told to release that.
            self._workstation.refuse(self._wanted.lock)
        return None
