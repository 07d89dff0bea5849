"""Standing in line for a lock until the turn comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from silo_client.data import Holder, Waiting, Wanted
from silo_client.errors import (
    ApiError,
    NotConnectedError,
    NotFoundError,
    ServerUnavailableError,
    SiloError,
    WaitTimeoutError,
)
from silo_client.network.time_limit import left, until
from silo_client.sessions.acquire import Acquirer
from silo_client.sessions.edit_session import EditSession

# Often enough for the callback to redraw a program's windows.
CALL_SECONDS = 0.2
# `edit.line_changed` goes to watchers and holders, not to those in line, so the position is asked for.
LOOK_SECONDS = 5.0
# A turn that comes in the moment in which the line is left is announced by then.
TURN_SECONDS = 2.0

# The error code where the holder is the same user, on another workstation.
OWN_SESSION = "own_session"

OnWait = Callable[[Waiting], Any]


class Line:
    """A call that waits for one lock.

    Args:
        acquirer: takes the session.
        wanted: the session to wait for.
        on_wait: called in this thread several times a second; an exception of it ends the waiting.
        ask: if not "", the holder, and each next one, is asked for a hand-off with this message.
        patience: how long one look at the server, and the leaving at the end, may take; None for the workstation's.
    """

    def __init__(
        self,
        acquirer: Acquirer,
        wanted: Wanted,
        on_wait: OnWait | None,
        ask: str,
        patience: float | None = None,
    ) -> None:
        self._acquirer = acquirer
        self._api = acquirer.api
        self._held = acquirer.held
        self._wanted = wanted
        self._on_wait = on_wait
        self._ask = ask
        self._patience = acquirer.patience if patience is None else patience
        # The sessions whose holders have been asked.
        self._asked: set[str] = set()
        self._begun = time.monotonic()
        self._place: str | None = None
        self._item_id: str | None = None
        # Whether another instance of this workstation has taken the place, so that the turn belongs to that one too.
        self._shared = False
        # Whether a request to stand in line got no answer.
        self._unsure = False
        # The connection by which the place was taken.
        self._owner: str | None = None
        self._position = 0
        self._holder: Holder | None = None
        self._connection: str | None = None
        self._look_at = 0.0

    def wait(self, deadline: float) -> EditSession:
        """Wait until `time.monotonic` is at the deadline, which may be infinite, and at most `patience` longer.

        Raises:
            WaitTimeoutError: the turn did not come.
        """
        try:
            while True:
                # A callback may have forked this process.
                self._acquirer.owner.check()
                with until(min(time.monotonic(), deadline) + self._patience):
                    session = self._look(deadline)
                if session is not None:
                    return session
                if time.monotonic() >= deadline:
                    break
                self._report()
            with until(deadline + self._patience):
                session = self._give_up()
        except BaseException:
            # A session that was or will be granted to an own place is released, here or by the helper.
            self._abandon()
            raise
        if session is not None:
            return session
        seconds = time.monotonic() - self._begun
        raise WaitTimeoutError(
            f"{self._wanted.lock} was not free within {seconds:.1f} s; the line was left."
        )

    def _look(self, deadline: float) -> EditSession | None:
        """Make sure that there is a place, then wait a little for the turn."""
        ends = min(deadline, time.monotonic() + CALL_SECONDS)
        with suppress(ServerUnavailableError):
            connection = self._held.await_connection(ends)
            try:
                # With a new connection, the request is repeated: its answer tells whether the place is still there.
                if self._place is None or connection != self._connection:
                    if session := self._stand(connection):
                        return session
                elif time.monotonic() >= self._look_at:
                    self._look_at_line()
            except NotConnectedError:
                self._acquirer.note_not_connected(connection)
            except NotFoundError as error:
                self._follow_renaming(error)
            payload = self._held.granted_for(self._wanted.lock, ends, self._item_id)
            return self._take(payload, connection) if payload else None
        time.sleep(max(0.0, ends - time.monotonic()))
        return None

    def _stand(self, connection: str) -> EditSession | None:
        with self._acquirer.asking_for([self._wanted], unsure=self._unsure):
            try:
                answer = self._api.stand(self._wanted, self._acquirer.workstation_id, connection)
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
                # An instance that left the line has withdrawn its hand-off requests, too.
                self._asked.clear()
            self._share_place(bool(answer["existing"]) and not self._acquirer.owns(answer))
        self._position = int(answer["position"])
        self._holder = Holder.from_payload(answer["holder"]) if answer.get("holder") else None
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._ask_holder()
        return None

    def _follow_renaming(self, error: NotFoundError) -> None:
        """Go on waiting with the new part number if the item was renamed."""
        renamed_to = error.details.get("renamed_to")
        if self._place is None or not renamed_to:
            raise error
        self._acquirer.place_is_of_another(self._wanted.lock)
        self._wanted = replace(self._wanted, part_number=str(renamed_to))

    def _share_place(self, shared: bool) -> None:
        """Note whether another instance owns the place; else the helper gives it up if this process dies."""
        if not shared:
            self._acquirer.joined_line(self._wanted.lock)
        elif not self._shared:
            self._acquirer.place_is_of_another(self._wanted.lock)
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
                self._acquirer.workstation_id,
            )
        except NotFoundError:
            pass  # The session has ended just now.
        except ApiError as error:
            if error.code != OWN_SESSION:
                raise
        self._asked.add(holder.session_id)

    def _look_at_line(self) -> None:
        """Ask for position and holder. Where the place is gone, the next look stands in line again."""
        self._look_at = time.monotonic() + LOOK_SECONDS
        line = self._api.line(self._wanted.part_number)
        mine = [place for place in line if place["request_id"] == self._place]
        if mine:
            self._position = int(mine[0]["position"])
            if self._shared and self._acquirer.inherits(self._owner):
                self._share_place(False)
            if self._ask or self._on_wait:
                held = self._api.sessions_of(self._wanted.part_number)["sessions"]
                # All are on the item, whatever its part number is now.
                lock = self._wanted.level, self._wanted.object_id
                holders = [
                    Holder.from_payload(one)
                    for one in held
                    if (one["context_level"], one["object_id"]) == lock
                ]
                self._holder = holders[0] if holders else None
                self._ask_holder()
        else:
            # The place was lost, or its turn has come.
            self._connection = None

    def _take(self, payload: Mapping[str, Any], connection: str) -> EditSession | None:
        if self._shared:
            self._acquirer.inherits(payload.get("connection_id"))
        session = self._acquirer.take(payload, connection)
        if session is not None:
            self._acquirer.turn_came(self._wanted.lock)
        return session

    def _report(self) -> None:
        if self._on_wait is not None and self._place is not None:
            seconds = time.monotonic() - self._begun
            self._on_wait(Waiting(self._wanted.lock, self._position, self._holder, seconds))

    def _give_up(self) -> EditSession | None:
        """Leave the line; return the session if the turn came in that moment."""
        if self._shared or self._place is None:
            # It knows of no own place; an answer may have been lost.
            self._abandon()
            return None
        try:
            self._api.leave_line(self._wanted.part_number, self._place)
        except NotFoundError:
            ends = time.monotonic() + left(TURN_SECONDS)
            payload = self._held.granted_for(self._wanted.lock, ends, self._item_id)
            if payload and (session := self._take(payload, self._held.connection or "")):
                return session
            self._abandon()
        except SiloError:
            self._abandon()
        else:
            self._acquirer.left_line(self._wanted.lock)
        return None

    def _abandon(self) -> None:
        """Have the helper leave the line, and release a session that is granted meanwhile."""
        if not self._acquirer.owner.is_here:
            return
        if self._shared:
            # If the other instance is dead, its place is this one's to give up.
            self._acquirer.inherits(self._owner)
        self._acquirer.abandon_line(self._wanted.lock)
