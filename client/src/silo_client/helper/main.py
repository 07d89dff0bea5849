"""The helper: a process of its own that keeps a workstation's event stream, whatever its parent computes.

The parent is the program; `link/helper_link.py` is its end. Commands come by standard input, messages go by standard
output, one JSON line each (`common/protocol.py`). The helper ends with its parent.
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
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from silo_client.common import clock
from silo_client.common.last_touch import LastTouch
from silo_client.common.protocol import Message, Plan
from silo_client.common.shared_memory import SharedMemory
from silo_client.common.visible import visible
from silo_client.errors import ApiError
from silo_client.helper.cleanup import Cleanup
from silo_client.helper.event_stream import LONGEST_PAUSE_SECONDS, EventStream, Unavailable, pause
from silo_client.helper.lease import Lease
from silo_client.helper.watcher import Watcher
from silo_client.network.requests import CONNECT_SECONDS, headers, machine_header
from silo_client.network.route import UNREACHED, route_to

PARENT_SECONDS = 1.0
# How soon other instances know that this one was touched; well below a heartbeat.
TOUCH_SECONDS = 1.0
# Where files of the state folder cannot be made again, the parent tries at such intervals.
VANISHED_SECONDS = 30.0
# An acknowledgement that got no answer is sent again, well within the time that the server gives.
ALIVE_SECONDS = 4.0
ALIVE_TRIES = 3
ALIVE_PAUSE_SECONDS = 0.5
# The number of events to remember while two streams may both bring them: far more than come while one is opened.
REMEMBERED = 10_000
# More than are put here before the thread that writes them has run.
WAITING_LINES = 10


class Parent:
    """Sends messages to the parent, without waiting for it.

    Args:
        memory: where the messages are counted.
        write: writes a line to the parent.
    """

    def __init__(self, memory: SharedMemory, write: Callable[[str], Any]) -> None:
        self._memory = memory
        self._write = write
        self._count = memory.message_count
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._pass_on, daemon=True, name="to the parent").start()

    def send(self, message: Message) -> None:
        """Count the message, and have it written."""
        self._count += 1
        self._memory.message_count = self._count
        self._lines.put(json.dumps(message))

    @property
    def is_behind(self) -> bool:
        """Whether the parent reads nothing now: the pipe is full, and messages wait in this process."""
        return self._lines.qsize() > WAITING_LINES

    def _pass_on(self) -> None:
        with suppress(OSError, ValueError):  # the parent is gone
            while True:
                self._write(self._lines.get() + "\n")


class Helper:
    """Keeps one workstation connected.

    Args:
        plan: the workstation to connect as.
        memory: the memory that the parent sees.
        parent: gets the messages.
    """

    def __init__(self, plan: Plan, memory: SharedMemory, parent: Parent) -> None:
        self._plan = plan
        self._memory = memory
        self._parent = parent
        self._lease = Lease()
        self._position = plan.last_event_id
        # The ids of events that were handled while two streams are open, or may be.
        self._handled: dict[str, None] = {}
        self._touched = LastTouch(Path(plan.touched))
        self._attempt = 0
        self._streams: list[EventStream] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self._http = httpx.AsyncClient(
            base_url=plan.url,
            headers=headers(plan.token) | machine_header(plan.running),
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            **route_to(plan.url, plan.ca_file).options,
        )
        self._cleanup = Cleanup(self._http, plan.workstation_id, parent.send)
        self._watcher = Watcher(self._http, parent.send, lambda: parent.is_behind)

    async def run(self) -> None:
        """Keep connected until the parent is gone or says so, then leave.

        Raises:
            Exception: an error of the helper itself; the parent starts another one.
        """
        self._cleanup.apply(self._plan.obligations)
        tasks = {
            asyncio.create_task(work())
            for work in (
                self._keep,
                self._share_touches,
                self._cleanup.run,
                self._watcher.run,
                self._leaving.wait,
            )
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

    # -- commands --

    def carry_out(self, command: Message) -> None:
        """Carry out a command."""
        self._cleanup.apply(command)
        for stream in self._streams:
            if stream.connection_id == command.get("not_connected", ""):
                stream.condemned = "the server no longer has this connection"
        if "watch" in command:
            self._watcher.watch(command["watch"])
        if "confirm" in command:
            self._parent.send({"confirmed": command["confirm"]})
        if command.get("leave"):
            self._leaving.set()

    def parent_is_gone(self) -> None:
        """Leave: nobody sends commands any more."""
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
                why = await stream.until_replaced()
                self._parent.send({"interrupted": why, "ended": stream.ended.is_set()})
                self._attempt = 0 if stream.was_worth_opening else self._attempt + 1
        except ApiError as error:
            self._parent.send(
                {"refused": error.status, "code": error.code, "message": error.message}
            )
            # Later commands of the parent still have to be carried out.
            await self._leaving.wait()

    async def _open(self) -> EventStream:
        """Try until a stream is open."""
        while True:
            await asyncio.sleep(pause(self._attempt))
            self._handled.clear()
            cursor = self._position
            stream = EventStream(self._http, self._params(), self._lease)
            self._streams.append(stream)
            try:
                await stream.open(cursor, partial(self._handle, stream, cursor), self._renew_lease)
                return stream
            except Unavailable as error:
                self._streams.remove(stream)
                self._parent.send({"trying": str(error)})
                self._attempt += 1
                await asyncio.sleep(min(error.retry_after, LONGEST_PAUSE_SECONDS))

    def _params(self) -> list[tuple[str, str]]:
        return [("workstation_id", self._plan.workstation_id), ("ack", "true")]

    async def _until_end(self, stream: EventStream) -> None:
        """Note in the lease when no stream is open any more."""
        await stream.ended.wait()
        if not any(one.is_open for one in self._streams):
            self._lease.ended()
            self._renew_lease()

    def _handle(self, stream: EventStream, cursor: str, sse: ServerSentEvent) -> None:
        """Handle an event of a stream that was requested from that cursor on."""
        if sse.event == "heartbeat":
            self._start(self._acknowledge(stream))
            return
        if sse.event == "stream-open":
            if not cursor or sse.id != cursor:
                self._position = sse.id
            # Else the stream that it replaces has meanwhile brought the events that this one begins with.
            self._cleanup.opened(stream.opening)
            self._parent.send({"open": stream.opening, "id": self._position})
            self._renew_lease(gap=False)
            return
        if sse.id in self._handled:
            return
        self._handled[sse.id] = None
        if len(self._handled) > REMEMBERED:
            del self._handled[next(iter(self._handled))]
        self._position = sse.id
        data = json.loads(sse.data)
        self._cleanup.handle(sse.event, data)
        self._parent.send({"event": sse.event, "id": sse.id, "data": data})

    def _renew_lease(self, *, gap: bool = True) -> None:
        """Write to the shared memory until when the lease is valid.

        Args:
            gap: whether there may have been a time of which nothing is known. Its events may not have come yet.
        """
        if self._leaving.is_set():
            return
        if gap and self._memory.valid_until < self._lease.connected:
            self._parent.send({"lapsed": True})
        self._memory.valid_until = self._lease.valid_until

    # -- acknowledging --

    async def _acknowledge(self, stream: EventStream) -> None:
        """Acknowledge a heartbeat, and say for how long the workstation was not touched."""
        for attempt in range(ALIVE_TRIES):
            if attempt:
                await asyncio.sleep(ALIVE_PAUSE_SECONDS)
            sent = clock.now()
            try:
                answer = await self._http.post(
                    f"/api/workstations/{self._plan.workstation_id}/alive",
                    json=self._alive_body(stream, sent),
                    timeout=ALIVE_SECONDS,
                )
            except UNREACHED:
                continue
            if answer.status_code == 204:
                self._lease.acknowledged(sent)
                self._renew_lease()
                return
            if answer.status_code == 409:
                stream.condemned = "the server no longer has this connection"
                return
            # Else the server cannot serve now, or will end the stream with the reason.

    def _alive_body(self, stream: EventStream, now: float) -> Message:
        body: Message = {"connection_id": stream.connection_id}
        if touched := self._memory.touched:
            own = max(0.0, now - touched)
            self._touched.note(own)
            # The file may be gone, or its folder read-only.
            others = self._touched.seconds_ago
            body["idle_seconds"] = own if others is None else min(own, others)
        return body

    async def _share_touches(self) -> None:
        """Tell the other instances that this one was touched: a workstation is idle where all of them are.

        Tell the parent when its files are gone.
        """
        known, next_report = 0.0, 0.0
        while True:
            await asyncio.sleep(TOUCH_SECONDS)
            if clock.now() >= next_report and not self._is_all_there():
                self._parent.send({"vanished": True})
                next_report = clock.now() + VANISHED_SECONDS
            if (touched := self._memory.touched) != known:
                known = touched
                self._touched.note(max(0.0, clock.now() - touched))

    def _is_all_there(self) -> bool:
        return all(Path(file).exists() for file in self._plan.files)

    # -- leaving --

    async def _leave(self) -> None:
        """Close the streams, which releases the workstation's sessions, then end by name what is left."""
        self._memory.valid_until = 0.0
        for stream in self._streams:
            await stream.close()
        await self._cleanup.give_up_all()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        # The loop keeps no reference of its own.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _read_commands(helper: Helper, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(OSError, ValueError, RuntimeError):
        for line in sys.stdin:
            loop.call_soon_threadsafe(helper.carry_out, json.loads(line))
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(helper.parent_is_gone)


async def _watch_parent(helper: Helper, parent: int) -> None:
    """Leave when the parent has ended: its grandchild may have inherited the pipe, and would keep it open."""
    while os.getppid() == parent:  # noqa: ASYNC110  (nothing tells of it)
        await asyncio.sleep(PARENT_SECONDS)
    helper.parent_is_gone()


async def _main() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    memory = SharedMemory(Path(plan.memory))
    parent = Parent(memory, _write)
    helper = Helper(plan, memory, parent)
    loop = asyncio.get_running_loop()
    threading.Thread(
        target=_read_commands, args=(helper, loop), daemon=True, name="from the parent"
    ).start()
    parent.send({"started": os.getpid()})
    watching = asyncio.create_task(_watch_parent(helper, os.getppid()))
    await helper.run()
    watching.cancel()


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def main() -> None:
    """Run the helper until its parent ends."""
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
    # The threads wait for a parent that may never send anything more.
    os._exit(code)
