"""The helper: a process of its own that keeps a workstation's event stream, whatever its parent computes.

`helper_link.py` starts it, and is the other end. On its standard input come commands, on its standard output go
messages, one JSON line each. It ends with its parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable

import httpx
from httpx_sse import ServerSentEvent

from silo_client import clock
from silo_client.api import CONNECT_SECONDS, UNAVAILABLE, headers, make_context, part_path
from silo_client.errors import ApiError
from silo_client.event_stream import (
    LONGEST_PAUSE_SECONDS,
    EventStream,
    Unavailable,
    pause,
)
from silo_client.evidence import Evidence
from silo_client.shared import Shared
from silo_client.windows import Touched

LOOK_SECONDS = 0.2
PARENT_SECONDS = 1.0
# A stream that has lasted for so long was worth opening.
STEADY_SECONDS = 10.0
# How soon other windows know that this one was touched; well below a heartbeat.
TOUCH_SECONDS = 1.0
# An acknowledgement that got no answer is sent again, well within the time that the server gives.
ALIVE_SECONDS = 4.0
ALIVE_TRIES = 3
ALIVE_PAUSE_SECONDS = 0.5
# The departure is given a moment to release everything, with its own reason; what it leaves is released by name.
DEPARTURE_SECONDS = 0.15
LEAVING_SECONDS = 5.0
# Of what two streams may both bring: far more than comes while one is opened.
REMEMBERED = 10_000
# What the server takes in one request.
RELEASED_AT_ONCE = 1000

Message = dict[str, Any]


@dataclass
class Plan:
    """The first command: whom to connect as.

    Args:
        url, token, ca_file: of the server.
        workstation_id: whose stream it is.
        shared: the file of the shared memory.
        last_event_id: from where to go on; "" for now.
        touched: the file that tells when somebody touched the workstation.
        holds: the sessions that the parent has acquired.
        places: its places in line, each with its part number.
    """

    url: str
    token: str
    workstation_id: str
    shared: str
    touched: str
    ca_file: str | None = None
    last_event_id: str = ""
    holds: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)


class Parent:
    """Tells the parent. Never waits for it.

    Args:
        shared: where the messages are counted.
        write: writes a line to the parent.
    """

    def __init__(self, shared: Shared, write: Callable[[str], Any]) -> None:
        self._shared = shared
        self._write = write
        self._told = shared.told
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._pass_on, daemon=True, name="to the parent").start()

    def tell(self, message: Message) -> None:
        """Count the message, and have it written."""
        self._told += 1
        self._shared.told = self._told
        self._lines.put(json.dumps(message))

    def _pass_on(self) -> None:
        with suppress(OSError, ValueError):  # the parent is gone
            while True:
                self._write(self._lines.get() + "\n")


class Helper:
    """Keeps one workstation connected.

    Args:
        plan: see `Plan`.
        shared: the memory that the parent sees.
        parent: who is told.
    """

    def __init__(self, plan: Plan, shared: Shared, parent: Parent) -> None:
        self._plan = plan
        self._shared = shared
        self._parent = parent
        self._evidence = Evidence()
        self._position = plan.last_event_id
        # What was taken while two streams are open, or may be.
        self._taken: dict[str, None] = {}
        self._holds = set(plan.holds)
        self._places = dict(plan.places)
        # What the parent has asked for and not been answered: of whom an acquire could be without its knowing.
        self._asking: set[tuple[str, str, str]] = set()
        self._touched = Touched(Path(plan.touched))
        self._attempt = 0
        self._streams: list[EventStream] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self._http = httpx.AsyncClient(
            base_url=plan.url,
            headers=headers(plan.token),
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            verify=make_context(plan.ca_file),
        )

    async def run(self) -> None:
        """Keep connected until the parent is gone or says so, then leave."""
        tasks = {asyncio.create_task(self._keep()), asyncio.create_task(self._share_touches())}
        await self._leaving.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._leave()

    # -- what the parent says --

    def obey(self, command: Message) -> None:
        """Carry out a command."""
        self._holds.update(command.get("hold", ()))
        self._asking.update(map(tuple, command.get("asking", ())))
        self._asking.difference_update(map(tuple, command.get("answered", ())))
        self._holds.difference_update(command.get("drop", ()))
        self._places.update(command.get("stand", {}))
        for place in command.get("unstand", ()):
            self._places.pop(place, None)
        if release := command.get("release"):
            self._start(self._insist_on_release(release))
        if command.get("leave"):
            self._leaving.set()

    def parent_is_gone(self) -> None:
        """Leave."""
        self._leaving.set()

    # -- keeping connected --

    async def _keep(self) -> None:
        try:
            while True:
                stream = await self._open()
                # Only now: the end of the last stream would be a departure.
                for old in self._streams[:-1]:
                    await old.close()
                self._streams = [stream]
                self._start(self._until_end(stream))
                why = await self._until_doubtful(stream)
                self._parent.tell({"interrupted": why, "ended": stream.ended.is_set()})
                # What does not last is opened less and less often.
                self._attempt = 0 if stream.age > STEADY_SECONDS else self._attempt + 1
        except ApiError as error:
            self._parent.tell(
                {"refused": error.status, "code": error.code, "message": error.message}
            )

    async def _open(self) -> EventStream:
        """Try until a stream is open."""
        while True:
            await asyncio.sleep(pause(self._attempt))
            self._taken.clear()
            cursor = self._position
            stream = EventStream(self._http, self._params(), self._evidence)
            self._streams.append(stream)
            try:
                await stream.open(cursor, partial(self._take, stream, cursor), self._be_sure)
                return stream
            except Unavailable as error:
                self._streams.remove(stream)
                self._parent.tell({"trying": str(error)})
                self._attempt += 1
                await asyncio.sleep(min(error.retry_after, LONGEST_PAUSE_SECONDS))

    def _params(self) -> list[tuple[str, str]]:
        return [("workstation_id", self._plan.workstation_id), ("ack", "true")]

    async def _until_end(self, stream: EventStream) -> None:
        """Be less sure when there is no stream any more."""
        await stream.ended.wait()
        if not any(one.is_open for one in self._streams):
            self._evidence.ended()
            self._be_sure()

    async def _until_doubtful(self, stream: EventStream) -> str:
        while not (stream.ended.is_set() or stream.doubt()):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stream.ended.wait(), LOOK_SECONDS)
        return stream.why or stream.doubt()

    def _take(self, stream: EventStream, cursor: str, sse: ServerSentEvent) -> None:
        """An event of a stream that was asked for from that cursor on."""
        if sse.event == "heartbeat":
            self._start(self._acknowledge(stream))
            return
        if sse.event == "stream-open":
            self._parent.tell({"open": stream.opening})
            if not cursor or sse.id != cursor:
                self._position = sse.id
            # Else the stream that it replaces has meanwhile brought what this one begins with.
            self._be_sure(gap=False)
            return
        if sse.id in self._taken:
            return
        self._taken[sse.id] = None
        if len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]
        self._position = sse.id
        data = json.loads(sse.data)
        if sse.event == "edit.session_acquired" and self._is_unanswered(data):
            self._holds.add(data["session_id"])
        self._parent.tell({"event": sse.event, "id": sse.id, "data": data})

    def _is_unanswered(self, told: Message) -> bool:
        """Whether a session began that the parent has asked for, and does not know of yet."""
        lock = told["part_number"], told["context_level"], told["object_id"]
        return told["workstation"]["id"] == self._plan.workstation_id and lock in self._asking

    def _be_sure(self, *, gap: bool = True) -> None:
        """Say until when the client is sure.

        Args:
            gap: whether there may have been time of which nothing is known. What happened in it may not be told yet.
        """
        if gap and self._shared.sure_until < self._evidence.connected:
            self._parent.tell({"lapsed": True})
        self._shared.sure_until = self._evidence.sure_until

    # -- acknowledging --

    async def _acknowledge(self, stream: EventStream) -> None:
        """Say that this heartbeat has come, and for how long nobody has touched the workstation."""
        for attempt in range(ALIVE_TRIES):
            if attempt:
                await asyncio.sleep(ALIVE_PAUSE_SECONDS)
            sent = clock.now()
            try:
                answer = await self._http.post(
                    f"/api/workstations/{self._plan.workstation_id}/alive",
                    json=self._alive(stream, sent),
                    timeout=ALIVE_SECONDS,
                )
            except httpx.TransportError:
                continue
            if answer.status_code == 204:
                self._evidence.acknowledged(sent)
                self._be_sure()
            elif answer.status_code == 409:
                stream.doubted = "the server no longer has this connection"
            elif answer.status_code in UNAVAILABLE:
                continue
            return

    def _alive(self, stream: EventStream, now: float) -> Message:
        body: Message = {"connection_id": stream.connection_id}
        if touched := self._shared.touched:
            self._touched.note(max(0.0, now - touched))
            body["idle_seconds"] = self._touched.seconds_ago or 0.0
        return body

    async def _share_touches(self) -> None:
        """Tell the other windows that this one was touched: a workstation is idle where all of them are."""
        known = 0.0
        while True:
            await asyncio.sleep(TOUCH_SECONDS)
            if (touched := self._shared.touched) != known:
                known = touched
                self._touched.note(max(0.0, clock.now() - touched))

    # -- releasing and leaving --

    async def _insist_on_release(self, session_ids: list[str]) -> None:
        attempt = 0
        while not await self._release(session_ids):
            attempt += 1
            await asyncio.sleep(pause(attempt))

    async def _release(self, session_ids: Iterable[str]) -> bool:
        """Release sessions by their ids; return whether the server has answered."""
        ids = list(session_ids)
        for first in range(0, len(ids), RELEASED_AT_ONCE):
            body = {"session_ids": ids[first : first + RELEASED_AT_ONCE]}
            try:
                answer = await self._http.post(
                    "/api/edit-sessions/release", json=body, timeout=LEAVING_SECONDS
                )
            except httpx.TransportError:
                return False
            if answer.status_code in UNAVAILABLE:
                return False
        return True

    async def _leave(self) -> None:
        """Close the streams, which releases what the workstation holds, then release by name what is left."""
        self._shared.sure_until = 0.0
        for stream in self._streams:
            await stream.close()
        if self._holds or self._places:
            await asyncio.sleep(DEPARTURE_SECONDS)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._give_up_all(), LEAVING_SECONDS)

    async def _give_up_all(self) -> None:
        # Places first: the turn would come to who has gone.
        for place, part_number in self._places.items():
            path = part_path(part_number, "edit-session-requests", place)
            with suppress(httpx.TransportError):
                await self._http.delete(path, timeout=LEAVING_SECONDS)
        await self._release(self._holds)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        # The loop keeps no reference of its own.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _read_commands(helper: Helper, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(OSError, ValueError, RuntimeError):
        for line in sys.stdin:
            loop.call_soon_threadsafe(helper.obey, json.loads(line))
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(helper.parent_is_gone)


async def _watch_parent(helper: Helper, parent: int) -> None:
    """A grandchild of the parent may have inherited the pipe, and would keep it open."""
    while os.getppid() == parent:  # noqa: ASYNC110  (nothing tells of it)
        await asyncio.sleep(PARENT_SECONDS)
    helper.parent_is_gone()


async def _main() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    shared = Shared(plan.shared)
    parent = Parent(shared, _write)
    helper = Helper(plan, shared, parent)
    loop = asyncio.get_running_loop()
    threading.Thread(
        target=_read_commands, args=(helper, loop), daemon=True, name="from the parent"
    ).start()
    parent.tell({"started": os.getpid()})
    watching = asyncio.create_task(_watch_parent(helper, os.getppid()))
    await helper.run()
    watching.cancel()


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def main() -> None:
    """Run it."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
    # The threads wait for a parent that may never say anything more.
    sys.stdout = sys.stderr = None
    os._exit(0)
