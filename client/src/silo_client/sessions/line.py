"""Standing in line until one's turn comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from silo_client.data import Holder, Waiting, Wanted
from silo_client.errors import (
    ApiError,
    NotConnectedError,
    NotFoundError,
    ServerUnavailableError,
    SiloError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from silo_client.sessions.acquire import Acquiring
    from silo_client.sessions.edit_session import EditSession

# Often enough for the windows of who waits to be drawn by the callback.
CALL_SECONDS = 0.2
# Others who leave the line tell nobody: one's own position is asked for.
LOOK_SECONDS = 5.0
# A turn that comes in the moment in which the place is given up is told by then.
TURN_SECONDS = 2.0

# The holder is the same user, on another workstation: there is nobody to ask.
OWN_SESSION = "own_session"

OnWait = Callable[[Waiting], Any]


class Line:
    """One waiting for one lock.

    Args:
        acquiring: by which it comes by the session.
        wanted: for what.
        on_wait: called in this thread several times a second; what it raises ends the waiting.
        ask: if not "", the holder is asked for a hand-off with this message, and so is each next one.
    """

    def __init__(
        self, acquiring: Acquiring, wanted: Wanted, on_wait: OnWait | None, ask: str
    ) -> None:
        self._acquiring = acquiring
        self._api = acquiring.api
        self._holdings = acquiring.holdings
        self._wanted = wanted
        self._on_wait = on_wait
        self._ask = ask
        # The sessions whose holders have been asked.
        self._asked: set[str] = set()
        self._begun = time.monotonic()
        self._place: str | None = None
        self._item_id: str | None = None
        # A place that another window of this workstation has taken: that one's is the turn too.
        self._shared = False
        # Whether a try to stand in line got no answer.
        self._unsure = False
        # The connection by which the place was taken.
        self._owner: str | None = None
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
                # A callback may have forked this process.
                self._acquiring.owner.check()
                if session := self._look(deadline):
                    return session
                if time.monotonic() >= deadline:
                    break
                self._tell()
            session = self._give_up()
        except BaseException:
            # Whatever has been or is still to be given for a place of one's own is released, here or by the helper.
            self._abandon()
            raise
        if session is not None:
            return session
        seconds = time.monotonic() - self._begun
        raise WaitTimeoutError(
            f"{self._wanted.lock} was not free within {seconds:.0f} s; the place in line is given up."
        )

    def _look(self, deadline: float) -> EditSession | None:
        """See that there is a place, then wait a little for the turn."""
        until = min(deadline, time.monotonic() + CALL_SECONDS)
        with suppress(ServerUnavailableError):
            connection = self._holdings.await_connection(until)
            try:
                # Whether the place is still there after a new connection, asking for it again tells.
                if self._place is None or connection != self._connection:
                    if session := self._stand(connection):
                        return session
                elif time.monotonic() >= self._look_at:
                    self._see()
            except NotConnectedError:
                self._acquiring.note_not_connected(connection)
            except NotFoundError as error:
                self._follow_renaming(error)
            told = self._holdings.granted_for(self._wanted.lock, until, self._item_id)
            return self._take(told, connection) if told else None
        time.sleep(max(0.0, until - time.monotonic()))
        return None

    def _stand(self, connection: str) -> EditSession | None:
        with self._acquiring.asking_for([self._wanted], unsure=self._unsure):
            try:
                answer = self._api.stand(self._wanted, self._acquiring.workstation_id, connection)
            except ServerUnavailableError:
                self._unsure = True
                raise
            self._unsure = False
            if "position" not in answer:
                return self._take(answer, connection)
            self._place, self._connection = str(answer["request_id"]), connection
            self._item_id = answer.get("item_id")
            self._owner = answer.get("connection_id")
            if not answer["existing"]:
                # Another window that gave the last one up has taken back what was asked for, too.
                self._asked.clear()
            self._share_place(bool(answer["existing"]) and not self._acquiring.owns(answer))
        self._position = int(answer["position"])
        self._holder = Holder.of(answer["holder"]) if answer.get("holder") else None
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._ask_holder()
        return None

    def _follow_renaming(self, error: NotFoundError) -> None:
        """Go on waiting under the new name, if the item in whose line the place is was renamed."""
        renamed_to = error.details.get("renamed_to")
        if self._place is None or not renamed_to:
            raise error
        self._acquiring.stands_no_more(self._wanted.lock)
        self._wanted = replace(self._wanted, part_number=str(renamed_to))

    def _share_place(self, shared: bool) -> None:
        """Whose the place is: another window's, or this one's, whose helper gives it up if this process dies."""
        if not shared:
            self._acquiring.stands(self._wanted.lock)
        elif not self._shared:
            self._acquiring.stands_no_more(self._wanted.lock)
        self._shared = shared

    def _ask_holder(self) -> None:
        holder = self._holder
        if not (self._ask and holder) or holder.session_id in self._asked:
            return
        try:
            self._api.request_handoff(
                self._wanted.part_number,
                holder.session_id,
                self._ask,
                self._acquiring.workstation_id,
            )
        except NotFoundError:
            pass  # It has ended just now.
        except ApiError as error:
            if error.code != OWN_SESSION:
                raise
        self._asked.add(holder.session_id)

    def _see(self) -> None:
        """Ask for position and holder. A place that is gone was lost, or its turn has come: standing again tells."""
        self._look_at = time.monotonic() + LOOK_SECONDS
        line = self._api.line(self._wanted.part_number)
        mine = [place for place in line if place["request_id"] == self._place]
        if mine:
            self._position = int(mine[0]["position"])
            if self._shared and self._acquiring.inherits(self._owner):
                self._share_place(False)
            if self._ask or self._on_wait:
                held = self._api.sessions_of(self._wanted.part_number)["sessions"]
                # All are of the item, however it is called now.
                lock = self._wanted.level, self._wanted.object_id
                holders = [
                    Holder.of(one)
                    for one in held
                    if (one["context_level"], one["object_id"]) == lock
                ]
                self._holder = holders[0] if holders else None
                self._ask_holder()
        else:
            # With the next look it stands again.
            self._connection = None

    def _take(self, told: Mapping[str, Any], connection: str) -> EditSession | None:
        if self._shared:
            self._acquiring.inherits(told.get("connection_id"))
        session = self._acquiring.take(told, connection)
        if session is not None:
            self._acquiring.has_its_turn(self._wanted.lock)
        return session

    def _tell(self) -> None:
        if self._on_wait is not None and self._place is not None:
            seconds = time.monotonic() - self._begun
            self._on_wait(Waiting(self._wanted.lock, self._position, self._holder, seconds))

    def _give_up(self) -> EditSession | None:
        """Leave the line; return the session if the turn has come in this moment."""
        if self._shared or self._place is None:
            # None of its own that it knows of: an answer may have been lost.
            self._abandon()
            return None
        try:
            self._api.leave_line(self._wanted.part_number, self._place)
        except NotFoundError:
            until = time.monotonic() + TURN_SECONDS
            told = self._holdings.granted_for(self._wanted.lock, until, self._item_id)
            if told and (session := self._take(told, self._holdings.connection or "")):
                return session
            self._abandon()
        except SiloError:
            self._abandon()
        else:
            self._acquiring.has_left(self._wanted.lock)
        return None

    def _abandon(self) -> None:
        """Have the helper give up the place, and what is given for it."""
        if not self._acquiring.owner.is_here:
            return
        if self._shared:
            # If the other window is dead, it is this one's to give up.
            self._acquiring.inherits(self._owner)
        self._acquiring.abandon_line(self._wanted.lock)
