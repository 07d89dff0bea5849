"""Ending what a program left behind: its sessions, its places in line, and sessions that began without an answer.

No workstation shall wait for a session that no client knows. The helper goes on trying whatever the program wanted to
end and could not; and when the program is gone, it releases by name what the end of the stream has left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from silo_client.common.obligations import Obligations
from silo_client.common.protocol import ABANDONED_SECONDS, LEAVING_SECONDS, Message
from silo_client.data import Lock
from silo_client.helper.event_stream import pause
from silo_client.helper.pages import ANSWER_SECONDS, body_of, list_of, read_on
from silo_client.network.requests import RELEASED_AT_ONCE, part_path
from silo_client.network.route import UNREACHED

# The departure may take so long to release everything, with its own reason; what it leaves is released by name.
DEPARTURE_SECONDS = 0.15
# After these nothing is left to do: it is done, there is no such thing, or the server will never do it.
SETTLED = frozenset({200, 204, 401, 403, 404})


class Cleanup(Obligations):
    """The helper's copy of the obligations, which also meets them.

    Args:
        http: the server.
        workstation_id: the workstation.
        send: sends a message to the program.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        workstation_id: str,
        send: Callable[[Message], None],
    ) -> None:
        super().__init__()
        self._http = http
        self._workstation_id = workstation_id
        self._send = send
        # Sessions that began on locks that the program has asked for, or stands in line for.
        self._began: dict[Lock, str] = {}
        # Until when a session is released that begins for an abandoned request, or is granted to a place that was left.
        self._until: dict[Lock, float] = {}
        self._work = asyncio.Event()

    # -- verbs that mean more here --

    def release(self, session_ids: Iterable[str]) -> None:
        """Release them as soon as the server can be reached."""
        super().release(session_ids)
        self._look_for_work()

    def ask(self, locks: Iterable[Lock]) -> None:
        """Release nothing that begins for them."""
        super().ask(locks)
        self._want_again(locks)

    def stand(self, locks: Iterable[Lock]) -> None:
        """Release nothing that is granted for them."""
        super().stand(locks)
        self._want_again(locks)

    def answered(self, locks: Iterable[Lock]) -> None:
        """Forget the sessions that began for them."""
        super().answered(locks)
        self._forget_began(locks)

    def unstand(self, locks: Iterable[Lock]) -> None:
        """Forget the sessions that began for them."""
        super().unstand(locks)
        self._forget_began(locks)

    def abandon(self, locks: Iterable[Lock]) -> None:
        """Release the session that began, or begins within a minute, for each."""
        super().abandon(locks)
        self._release_began(locks)

    def leave_line(self, locks: Iterable[Lock]) -> None:
        """Leave the line, and release the session that is granted meanwhile."""
        super().leave_line(locks)
        self._release_began(locks)

    def _want_again(self, locks: Iterable[Lock]) -> None:
        for lock in locks:
            self._until.pop(lock, None)

    def _forget_began(self, locks: Iterable[Lock]) -> None:
        for lock in locks:
            # Else the answer was a place in line, whose turn has come meanwhile.
            if lock not in self.lines or self._began.get(lock) in self.held:
                self._began.pop(lock, None)

    def _release_began(self, locks: Iterable[Lock]) -> None:
        for lock in locks:
            self._until[lock] = time.monotonic() + ABANDONED_SECONDS
            began = self._began.pop(lock, None)
            if began is not None and began not in self.held:
                self.to_release.add(began)
        self._look_for_work()

    # -- what the stream says --

    def handle(self, name: str, payload: Mapping[str, Any]) -> None:
        """Handle an event: perhaps a session began that the program does not know of, or abandoned."""
        if name == "edit.session_released":
            self.held.discard(payload["session_id"])
            ended = [lock for lock, one in self._began.items() if one == payload["session_id"]]
            for lock in ended:
                del self._began[lock]
        elif name == "edit.session_acquired" and self.owns(payload):
            self._own_began(Lock.from_payload(payload), payload["session_id"])

    def opened(self, opening: Mapping[str, Any]) -> None:
        """Handle the `stream-open` of a stream: events of an outage are replayed from now on."""
        self.connected([opening["connection_id"]])
        for lock in (*self.abandoned, *self.to_leave):
            self._until[lock] = time.monotonic() + ABANDONED_SECONDS
        for session in opening["sessions"]:
            # It began while no stream was open; a session that an event has announced is newer.
            lock, session_id = Lock.from_payload(session), session["session_id"]
            known = lock in self._began or session_id in self.held
            if self.owns(session) and not known:
                self._own_began(lock, session_id)

    def _own_began(self, lock: Lock, session_id: str) -> None:
        """Note a session that began in this program's turn, or because the program asked for it."""
        if lock in self.asked or lock in self.lines - self.to_leave:
            self._began[lock] = session_id
        elif self._until.get(lock, 0.0) > time.monotonic():
            self.to_release.add(session_id)
            self._look_for_work()

    async def run(self) -> None:
        """Go on trying until the server has answered."""
        attempt = 0
        while True:
            await self._work.wait()
            if await self._try_all():
                attempt = 0
            else:
                attempt += 1
                await asyncio.sleep(pause(attempt))

    async def give_up_all(self) -> None:
        """End by name what the end of the streams has left: the program is gone, or closes."""
        if self.held or self.to_release or self.wanted:
            await asyncio.sleep(DEPARTURE_SECONDS)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._give_up_all(), LEAVING_SECONDS)

    async def _give_up_all(self) -> None:
        wanted = self.wanted
        self.to_leave |= self.lines | self.asked
        self.to_release |= self.held
        attempt = 0
        while not await self._try_all():
            attempt += 1
            await asyncio.sleep(pause(attempt))
        if wanted:
            # Sessions that began in this very moment: no event has announced them.
            found: dict[str, Any] = {"sessions": [], "next": 0}
            await read_on(
                self._http,
                "/api/edit-sessions",
                "sessions",
                found,
                workstation=self._workstation_id,
            )
            own = (session for session in found["sessions"] if self.owns(session))
            await self._release([s["session_id"] for s in own if Lock.from_payload(s) in wanted])

    def _look_for_work(self) -> None:
        if self.to_release or self.to_leave:
            self._work.set()

    async def _try_all(self) -> bool:
        """Try once to meet each obligation; return whether all are met."""
        self._work.clear()
        # Lines first: a turn would come to a workstation that has left.
        left = [lock for lock in list(self.to_leave) if await self._leave_line(lock)]
        released = list(self.to_release)
        if released:
            # Before the request: an answer that still names one is older than this.
            self._send({"releasing": released})
        if not await self._release(released):
            released = []
        done = {"drop": released, "left": left}
        self.apply(done)
        if released or left:
            self._send({"done": done})
        self._look_for_work()
        return not self._work.is_set()

    async def _release(self, session_ids: list[str]) -> bool:
        """Release sessions; return whether nothing is left to do about them."""
        for first in range(0, len(session_ids), RELEASED_AT_ONCE):
            body = {"session_ids": session_ids[first : first + RELEASED_AT_ONCE]}
            if not _is_settled(await self._call("POST", "/api/edit-sessions/release", json=body)):
                return False
        return True

    async def _leave_line(self, lock: Lock) -> bool:
        """Give up the program's place in this line; return whether nothing is left to do about it."""
        path = part_path(lock.part_number, "edit-session-requests")
        answer = await self._call("GET", path)
        line = list_of(answer, "requests")
        if line is None:
            return _is_settled(answer)
        page = {**body_of(answer), "requests": line}
        await read_on(self._http, path, "requests", page)
        for place in line:
            # All places are on the item, whatever its part number is now.
            if Lock.from_payload(place)[1:] == lock[1:] and self._is_own_place(place):
                return _is_settled(await self._call("DELETE", f"{path}/{place['request_id']}"))
        return page.get("next") is None

    def _is_own_place(self, place: Mapping[str, Any]) -> bool:
        if place.get("connection_id") is not None:
            return self.owns(place)
        # An older server names no connection: the program's own lines decide.
        ours = bool(place["workstation"]["id"] == self._workstation_id)
        return ours and Lock.from_payload(place) in self.lines

    async def _call(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        try:
            return await self._http.request(method, path, timeout=ANSWER_SECONDS, **more)
        except UNREACHED:
            return None


def _is_settled(answer: httpx.Response | None) -> bool:
    """Whether a Silo server, and not a proxy for it, has given an answer after which nothing is left to do."""
    if answer is None or answer.status_code not in SETTLED:
        return False
    return answer.status_code == 204 or bool(body_of(answer).keys() & {"released", "error"})
