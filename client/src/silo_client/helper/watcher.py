"""Watching items: who holds and who waits for each, by a stream of its own that keeps no workstation present.

The picture of the items is always a list of the server's and the events after that list's cursor. Whatever interrupts
the events (another set of items, the end of a stream, `stream-reset`) is followed by a new list.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from silo_client.common.protocol import Message
from silo_client.errors import ApiError, refusal
from silo_client.helper.event_stream import (
    FINAL,
    LONGEST_PAUSE_SECONDS,
    EventStream,
    Unavailable,
    pause,
    seconds_of,
)
from silo_client.helper.pages import body_of
from silo_client.helper.picture import Picture
from silo_client.network.route import UNREACHED

IN_USE = "/api/edit-sessions/in-use"
ASKED_AT_ONCE = 1000
ANSWER_SECONDS = 10.0
# A program that opens ten documents asks ten times: the last one counts.
SETTLE_SECONDS = 0.05
# Changes of so long are told in one message: a person sees no difference, and an item that changes all the time costs
# no more than this.
GATHER_SECONDS = 0.1
# Where the server has no item of a number, or refuses the user, it is asked again at such intervals.
REFUSED_SECONDS = 30.0
# Items in one message: the parent reads it while `valid` may wait.
TOLD_AT_ONCE = 50


class Watcher:
    """Tells the parent the state of the items that it wants to watch, and each change.

    Args:
        http: the server.
        send: sends a message to the parent.
        is_behind: says whether the parent reads nothing now, because it computes.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        send: Callable[[Message], Any],
        is_behind: Callable[[], bool],
    ) -> None:
        self._http = http
        self._send = send
        self._is_behind = is_behind
        self._number = 0
        self._wanted: list[str] = []
        self._changed = asyncio.Event()
        self._attempt = 0

    def watch(self, command: Message) -> None:
        """Watch other items. Of two commands the one with the higher number counts, in whichever order they come."""
        if command["number"] > self._number:
            self._number, self._wanted = command["number"], command["items"]
            self._changed.set()

    async def run(self) -> None:
        """Watch for ever. No error of this ends the helper, on which the locks depend."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            self._attempt = 0
            await _first(self._follow(self._number, self._wanted), self._until_changed())

    async def _until_changed(self) -> str:
        await self._changed.wait()
        return ""

    async def _follow(self, number: int, wanted: Sequence[str]) -> str:
        """Watch these items until this is cancelled; return only where there are none."""
        if not wanted:
            self._tell(number, {})
            return ""
        while True:
            again = 0.0
            try:
                why = await self._follow_one(number, wanted)
            except ApiError as error:
                why, again = str(error), REFUSED_SECONDS
                if error.status == 401:
                    # The token will never be good again, and servers slow down who tries on.
                    self._tell(number, {}, why)
                    await asyncio.Event().wait()
            except Unavailable as error:
                why, again = str(error), min(error.retry_after, LONGEST_PAUSE_SECONDS)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
            if why:
                self._tell(number, {}, why)
                self._attempt += 1
            await asyncio.sleep(again + pause(self._attempt))

    async def _follow_one(self, number: int, wanted: Sequence[str]) -> str:
        """Read the list and follow the events after it; return why that has ended, "" if nothing has failed.

        Raises:
            ApiError: the server refuses.
            Unavailable: the server cannot serve now.
        """
        picture, cursor = await self._read(wanted)
        if not picture.known:
            self._tell(number, picture.all)
            return await self._look_for(picture.unknown)
        stream = EventStream(self._http, [("item", one) for one in picture.known])
        try:
            await stream.open(cursor, partial(self._hear, number, picture, stream))
            if picture.outdated:
                return ""
            self._tell(number, picture.all)
            why = await _first(
                self._pump(number, picture),
                stream.until_replaced(),
                self._look_for(picture.unknown, has_stream=True),
            )
            return "" if picture.outdated else why
        finally:
            if stream.was_worth_opening:
                self._attempt = 0
            await stream.close()

    async def _look_for(self, part_numbers: Sequence[str], *, has_stream: bool = False) -> str:
        """Wait until there is something under one of these part numbers: somebody may make the item.

        Raises:
            ApiError: the server refuses.
            Unavailable: the server cannot serve now, and there is no stream, which would end if that mattered.
        """
        while True:
            await asyncio.sleep(REFUSED_SECONDS)
            try:
                if part_numbers and (await self._read(part_numbers))[0].known:
                    return ""
            except Unavailable:
                if not has_stream:
                    raise

    def _hear(
        self, number: int, picture: Picture, stream: EventStream, sse: ServerSentEvent
    ) -> None:
        if sse.event in {"heartbeat", "stream-open"}:
            return
        if sse.event == "stream-reset":
            self._tell(number, {}, "Events were missed.")
        picture.apply(sse.event, json.loads(sse.data))
        if picture.outdated:
            stream.condemned = "the items have to be read again"

    async def _pump(self, number: int, picture: Picture) -> str:
        """Tell the changes, after reading the lines that have changed."""
        while True:
            await picture.touched.wait()
            await asyncio.sleep(GATHER_SECONDS)
            # All that piles up would have to be read before its sessions count as certain again.
            while self._is_behind():  # noqa: ASYNC110  (nothing tells of it)
                await asyncio.sleep(GATHER_SECONDS)
            picture.touched.clear()
            if lines := picture.lines_to_read():
                newer, _ = await self._read(lines)
                picture.take_lines(newer)
            if picture.outdated:
                # The next list makes it right, not these changes.
                return ""
            self._tell(number, picture.changes())

    async def _read(self, part_numbers: Sequence[str]) -> tuple[Picture, str]:
        """Ask the server for the state of items; return it, and the cursor of the events after it.

        Where it takes several requests, the cursor is that of the first: the events after it repeat what the later
        answers know, which changes nothing.

        Raises:
            ApiError: the server refuses.
            Unavailable: the server cannot serve now.
        """
        picture, cursor = Picture(), ""
        left = [list(part_numbers)]
        while left:
            asked = left.pop()
            if len(asked) > ASKED_AT_ONCE:
                left += [asked[ASKED_AT_ONCE:], asked[:ASKED_AT_ONCE]]
                continue
            try:
                answer = await self._ask(asked)
            except ApiError as error:
                if error.status != 422:
                    raise
                # One of them is no part number: found by halves, so that the others are watched.
                if len(asked) == 1:
                    picture.refuse(asked[0], error.message)
                else:
                    middle = len(asked) // 2
                    left += [asked[middle:], asked[:middle]]
                continue
            cursor = cursor or answer["cursor"]
            picture.add(answer)
            if answer["left"]:
                left.append(answer["left"])
        return picture, cursor

    async def _ask(self, part_numbers: Collection[str]) -> Message:
        try:
            answer = await self._http.post(
                IN_USE, json={"items": list(part_numbers)}, timeout=ANSWER_SECONDS
            )
        except UnicodeError:
            # Half a character: it cannot even be sent.
            raise ApiError(422, "invalid", "It is no text.", {}) from None
        except UNREACHED as error:
            raise Unavailable(str(error) or type(error).__name__) from error
        body = body_of(answer)
        if answer.status_code == 200 and body.keys() >= {"items", "unknown", "left", "cursor"}:
            return body
        refused = refusal(answer.status_code, body)
        if refused is not None and answer.status_code in FINAL:
            raise refused
        why = refused.message if refused else f"The server answered {answer.status_code}."
        raise Unavailable(why, seconds_of(answer))

    def _tell(self, number: int, items: dict[str, Message], why: str | None = None) -> None:
        """Tell the parent the state of items; with `why`, that the picture is out of date from now on.

        The last message of several says that the picture is right.
        """
        told = list(items.items())
        parts = [dict(told[at : at + TOLD_AT_ONCE]) for at in range(0, len(told), TOLD_AT_ONCE)]
        for part in parts[:-1]:
            self._send({"watched": {"number": number, "items": part}})
        last = parts[-1] if parts else {}
        self._send({"watched": {"number": number, "items": last, "stale": why or ""}})


async def _first(*work: Coroutine[Any, Any, str]) -> str:
    """Do all of it until the first has ended; return what that returns."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done.pop().result()
