"""What a program leaves behind, and how the helper gives it up: sessions, places in line, answers that nobody read.

Nobody shall wait for what nobody has. So whatever a program wanted to end and could not, the helper goes on trying;
and when the program is gone, it gives up by name what the end of the stream has left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from silo_client.api import part_path
from silo_client.common.obligations import Command, Ledger, LockKey, lock_of, locks
from silo_client.helper.event_stream import pause
from silo_client.helper.pages import ANSWER_SECONDS, body_of, listed, read_on
from silo_client.network.route import UNREACHED

# The departure is given a moment to release everything, with its own reason; what it leaves is released by name.
DEPARTURE_SECONDS = 0.15
LEAVING_SECONDS = 5.0
# A request that was given up is not carried out by the server any later.
ABANDONED_SECONDS = 60.0
# What the server takes in one request.
RELEASED_AT_ONCE = 1000
# After these there is nothing left to do: it is done, there is no such thing, or the server will never do it.
SETTLED = frozenset({200, 204, 401, 403, 404})


class Leftovers:
    """Gives up what the parent has left.

    Args:
        http: the server.
        workstation_id: the workstation's.
        tell: tells the parent.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        workstation_id: str,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self.ledger = Ledger()
        self._http = http
        self._workstation_id = workstation_id
        self._tell = tell
        # What began for locks that the parent has asked for, or stands in line for.
        self._began: dict[LockKey, str] = {}
        # Until when what begins for what was abandoned, and what is granted for places that were left, is released.
        self._until: dict[LockKey, float] = {}
        self._work = asyncio.Event()

    def obey(self, command: Command) -> None:
        """Take note of what the parent says, see `Ledger.obey`."""
        self.ledger.obey(command)
        for lock in (*locks(command, "answered"), *locks(command, "unstand")):
            # Else the answer was a place, whose turn has come meanwhile.
            if lock not in self.ledger.lines or self._began.get(lock) in self.ledger.held:
                self._began.pop(lock, None)
        for lock in (*locks(command, "ask"), *locks(command, "stand")):
            self._until.pop(lock, None)
        for lock in (*locks(command, "abandon"), *locks(command, "leave_line")):
            self._until[lock] = time.monotonic() + ABANDONED_SECONDS
            began = self._began.pop(lock, None)
            if began is not None and began not in self.ledger.held:
                self.ledger.to_release.add(began)
        self._look_for_work()

    def hear(self, name: str, data: Mapping[str, Any]) -> None:
        """An event of the stream: perhaps a session began that nobody knows of, or wants."""
        if name == "edit.session_released":
            self.ledger.held.discard(data["session_id"])
            ended = [lock for lock, began in self._began.items() if began == data["session_id"]]
            for lock in ended:
                del self._began[lock]
        elif name == "edit.session_acquired" and self.ledger.owns(data):
            self._own_began(lock_of(data), data["session_id"])

    def opened(self, opening: Mapping[str, Any]) -> None:
        """A stream is open, and begins so: what happened in an outage is told from now on."""
        self.ledger.obey({"connected": [opening["connection_id"]]})
        for lock in (*self.ledger.abandoned, *self.ledger.to_leave):
            self._until[lock] = time.monotonic() + ABANDONED_SECONDS
        for session in opening["sessions"]:
            # Began while nobody heard of it; what has been heard of is newer.
            lock, session_id = lock_of(session), session["session_id"]
            known = lock in self._began or session_id in self.ledger.held
            if self.ledger.owns(session) and not known:
                self._own_began(lock, session_id)

    def _own_began(self, lock: LockKey, session_id: str) -> None:
        """A session began, in this program's turn or because it has asked for it."""
        if lock in self.ledger.asked or lock in self.ledger.lines - self.ledger.to_leave:
            self._began[lock] = session_id
        elif self._until.get(lock, 0.0) > time.monotonic():
            self.ledger.to_release.add(session_id)
            self._look_for_work()

    async def run(self) -> None:
        """Go on trying what could not be done."""
        attempt = 0
        while True:
            await self._work.wait()
            if await self._try_all():
                attempt = 0
            else:
                attempt += 1
                await asyncio.sleep(pause(attempt))

    async def give_up_all(self) -> None:
        """The parent is gone, or closes, and the streams are closed: give up what that has left."""
        ledger = self.ledger
        if ledger.held or ledger.to_release or ledger.wanted:
            await asyncio.sleep(DEPARTURE_SECONDS)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._give_up_all(), LEAVING_SECONDS)

    async def _give_up_all(self) -> None:
        ledger = self.ledger
        wanted = ledger.wanted
        ledger.to_leave |= ledger.lines | ledger.asked
        ledger.to_release |= ledger.held
        attempt = 0
        while not await self._try_all():
            attempt += 1
            await asyncio.sleep(pause(attempt))
        if wanted:
            # What began, or whose turn came, in this very moment: no event has told it.
            found: dict[str, Any] = {"sessions": [], "next": 0}
            await read_on(
                self._http,
                "/api/edit-sessions",
                "sessions",
                found,
                workstation=self._workstation_id,
            )
            own = (session for session in found["sessions"] if ledger.owns(session))
            await self._release([s["session_id"] for s in own if lock_of(s) in wanted])

    def _look_for_work(self) -> None:
        if self.ledger.to_release or self.ledger.to_leave:
            self._work.set()

    async def _try_all(self) -> bool:
        """Try once what is to be done; return whether all of it is."""
        self._work.clear()
        # Lines first: the turn would come to who has gone.
        left = [lock for lock in list(self.ledger.to_leave) if await self._leave_line(lock)]
        released = list(self.ledger.to_release)
        if released:
            # First: an answer that still names one is older than this.
            self._tell({"releasing": released})
        if not await self._release(released):
            released = []
        done = {"drop": released, "left": left}
        self.ledger.obey(done)
        if released or left:
            self._tell({"done": done})
        self._look_for_work()
        return not self._work.is_set()

    async def _release(self, session_ids: list[str]) -> bool:
        """Release sessions; return whether there is nothing left to do about them."""
        for first in range(0, len(session_ids), RELEASED_AT_ONCE):
            body = {"session_ids": session_ids[first : first + RELEASED_AT_ONCE]}
            if not _is_settled(await self._call("POST", "/api/edit-sessions/release", json=body)):
                return False
        return True

    async def _leave_line(self, lock: LockKey) -> bool:
        """Give up the workstation's place in this line; return whether there is nothing left to do about it."""
        path = part_path(lock[0], "edit-session-requests")
        answer = await self._call("GET", path)
        line = listed(answer, "requests")
        if line is None:
            return _is_settled(answer)
        told = {**body_of(answer), "requests": line}
        await read_on(self._http, path, "requests", told)
        for place in line:
            # All of them are of the item, however it is called now.
            if lock_of(place)[1:] == lock[1:] and self._is_own_place(place):
                return _is_settled(await self._call("DELETE", f"{path}/{place['request_id']}"))
        return told.get("next") is None

    def _is_own_place(self, place: Mapping[str, Any]) -> bool:
        if place.get("connection_id") is not None:
            return self.ledger.owns(place)
        # Of a server that is older than this: what this program knows.
        ours = bool(place["workstation"]["id"] == self._workstation_id)
        return ours and lock_of(place) in self.ledger.lines

    async def _call(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        try:
            return await self._http.request(method, path, timeout=ANSWER_SECONDS, **more)
        except UNREACHED:
            return None


def _is_settled(answer: httpx.Response | None) -> bool:
    """Whether a server, and not a proxy for it, has given an answer after which nothing is left to do."""
    if answer is None or answer.status_code not in SETTLED:
        return False
    return answer.status_code == 204 or bool(body_of(answer).keys() & {"released", "error"})
