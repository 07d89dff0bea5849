"""The helper: a process of its own that keeps a workstation's event stream, whatever its parent computes.

`link/helper_link.py` starts it, and is the other end. On its standard input come commands, on its standard output go
messages, one JSON line each. It ends with its parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from silo_client.api import CONNECT_SECONDS, headers, machine_header
from silo_client.common import clock
from silo_client.common.shared_memory import Shared
from silo_client.common.visible import visible
from silo_client.errors import ApiError
from silo_client.helper.cleanup import Leftovers
from silo_client.helper.event_stream import LONGEST_PAUSE_SECONDS, EventStream, Unavailable, pause
from silo_client.helper.lease import Evidence
from silo_client.identity.instances import Touched
from silo_client.network.route import UNREACHED, way_to

LOOK_SECONDS = 0.2
PARENT_SECONDS = 1.0
# A stream that has lasted for so long was worth opening.
STEADY_SECONDS = 10.0
# How soon other windows know that this one was touched; well below a heartbeat.
TOUCH_SECONDS = 1.0
# Where its files cannot be made again, the parent tries and says so in such intervals.
VANISHED_SECONDS = 30.0
# An acknowledgement that got no answer is sent again, well within the time that the server gives.
ALIVE_SECONDS = 4.0
ALIVE_TRIES = 3
ALIVE_PAUSE_SECONDS = 0.5
# Of what two streams may both bring: far more than comes while one is opened.
REMEMBERED = 10_000

Message = dict[str, Any]


@dataclass
class Plan:
    """The first command: whom to connect as.

    Args:
        url, token, ca_file: of the server.
        workstation_id: whose stream it is.
        memory: the file of the shared memory.
        touched: the file that tells when somebody touched the workstation.
        running: the name of this running machine.
        last_event_id: from where to go on; "" for now.
        leftovers: what the parent has, as a command; see `Ledger`.
        files: what the parent makes again when it is deleted, and has to be told of.
    """

    url: str
    token: str = field(repr=False)
    workstation_id: str
    memory: str
    touched: str
    running: str = ""
    ca_file: str | None = None
    last_event_id: str = ""
    leftovers: Message = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


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
        self._touched = Touched(Path(plan.touched))
        self._attempt = 0
        self._streams: list[EventStream] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self._http = httpx.AsyncClient(
            base_url=plan.url,
            headers=headers(plan.token) | machine_header(plan.running),
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            **way_to(plan.url, plan.ca_file).options,
        )
        self._leftovers = Leftovers(self._http, plan.workstation_id, parent.tell)

    async def run(self) -> None:
        """Keep connected until the parent is gone or says so, then leave.

        Raises:
            Exception: what should never happen; the parent starts another helper.
        """
        self._leftovers.obey(self._plan.leftovers)
        tasks = {
            asyncio.create_task(work())
            for work in (self._keep, self._share_touches, self._leftovers.run, self._leaving.wait)
        }
        done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._leaving.is_set():
            await self._leave()
        for task in done:
            task.result()

    # -- what the parent says --

    def obey(self, command: Message) -> None:
        """Carry out a command."""
        self._leftovers.obey(command)
        for stream in self._streams:
            if stream.connection_id == command.get("not_connected", ""):
                stream.doubted = "the server no longer has this connection"
        if "confirm" in command:
            self._parent.tell({"confirmed": command["confirm"]})
        if command.get("leave"):
            self._leaving.set()

    def parent_is_gone(self) -> None:
        """Leave."""
        self._leaving.set()

    # -- keeping connected --

    async def _keep(self) -> None:
        try:
            while not self._leaving.is_set():
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
            # What the parent still says has to be heard.
            await self._leaving.wait()

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
            await stream.wait_for_end(LOOK_SECONDS)
        return stream.why or stream.doubt()

    def _take(self, stream: EventStream, cursor: str, sse: ServerSentEvent) -> None:
        """An event of a stream that was asked for from that cursor on."""
        if sse.event == "heartbeat":
            self._start(self._acknowledge(stream))
            return
        if sse.event == "stream-open":
            if not cursor or sse.id != cursor:
                self._position = sse.id
            # Else the stream that it replaces has meanwhile brought what this one begins with.
            self._leftovers.opened(stream.opening)
            self._parent.tell({"open": stream.opening, "id": self._position})
            self._be_sure(gap=False)
            return
        if sse.id in self._taken:
            return
        self._taken[sse.id] = None
        if len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]
        self._position = sse.id
        data = json.loads(sse.data)
        self._leftovers.hear(sse.event, data)
        self._parent.tell({"event": sse.event, "id": sse.id, "data": data})

    def _be_sure(self, *, gap: bool = True) -> None:
        """Say until when the client is sure.

        Args:
            gap: whether there may have been time of which nothing is known. What happened in it may not be told yet.
        """
        if self._leaving.is_set():
            return
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
            except UNREACHED:
                continue
            if answer.status_code == 204:
                self._evidence.acknowledged(sent)
                self._be_sure()
                return
            if answer.status_code == 409:
                stream.doubted = "the server no longer has this connection"
                return
            # Else the server cannot now, or will say for good on the stream what is wrong.

    def _alive(self, stream: EventStream, now: float) -> Message:
        body: Message = {"connection_id": stream.connection_id}
        if touched := self._shared.touched:
            own = max(0.0, now - touched)
            self._touched.note(own)
            # The file may be gone, or its folder read-only.
            others = self._touched.seconds_ago
            body["idle_seconds"] = own if others is None else min(own, others)
        return body

    async def _share_touches(self) -> None:
        """Tell the other windows that this one was touched: a workstation is idle where all of them are.

        Tell the parent when its files are gone.
        """
        known, tell_at = 0.0, 0.0
        while True:
            await asyncio.sleep(TOUCH_SECONDS)
            if clock.now() >= tell_at and not self._is_all_there():
                self._parent.tell({"vanished": True})
                tell_at = clock.now() + VANISHED_SECONDS
            if (touched := self._shared.touched) != known:
                known = touched
                self._touched.note(max(0.0, clock.now() - touched))

    def _is_all_there(self) -> bool:
        return all(Path(file).exists() for file in self._plan.files)

    # -- leaving --

    async def _leave(self) -> None:
        """Close the streams, which releases what the workstation holds, then give up by name what is left."""
        self._shared.sure_until = 0.0
        for stream in self._streams:
            await stream.close()
        await self._leftovers.give_up_all()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
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
    shared = Shared(Path(plan.memory))
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
    code = 0
    try:
        asyncio.run(_main())
    except KeyboardInterrupt:
        pass
    except Exception as error:
        # The parent reads the last line.
        code = 1
        sys.stderr.write(f"{type(error).__name__}: {visible(error)}\n")
        sys.stderr.flush()
    # The threads wait for a parent that may never say anything more.
    os._exit(code)
