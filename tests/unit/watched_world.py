"""A server of items, as far as it is watched: lists, a log of events, and streams that can be broken in every way."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest

from silo_client.helper import event_stream, watcher
from silo_client.helper.watcher import Watcher
from silo_client.watching import Watched, WatchList
from tests.unit.test_client_evidence import WITH_GRACE
from tests.unit.told import told

Json = dict[str, Any]


def person(name: str) -> Json:
    return {"user": name, "user_name": name, "workstation": {"id": f"w-{name}", "name": name}}


class World:
    """Items with sessions and places in line. Each change is one entry of the log.

    `before` and `after` are called around the moment of each list: what happens then is on one side of its cursor.
    """

    def __init__(self, *part_numbers: str) -> None:
        self.sessions: dict[str, dict[str, Json]] = {one: {} for one in part_numbers}
        self.places: dict[str, list[Json]] = {one: [] for one in part_numbers}
        # The ids of sessions, and those of places, that each item has had at any time, in order.
        self.had: dict[str, list[list[str]]] = {one: [[]] for one in part_numbers}
        self.had_places: dict[str, list[list[str]]] = {one: [[]] for one in part_numbers}
        # Of the part numbers of merged items: that of the item which was kept.
        self.kept: dict[str, str] = {}
        # Whether no list is cut off.
        self.complete = True
        # Each event, the part numbers of the items whose watchers get it, and what it says.
        self.log: list[tuple[str, set[str], Json]] = []
        # The events that streams have brought.
        self.sent: list[str] = []
        self.trimmed = 0
        self.before: Callable[[], Any] = lambda: None
        self.after: Callable[[], Any] = lambda: None
        self.refusals: list[httpx.Response] = []
        self.lists: list[list[str]] = []
        self.streams: list[tuple[list[str], str]] = []
        self.most = 1000
        self.open = 0
        self._broken = 0
        self._number = 0
        self._happened = asyncio.Event()

    # -- what happens --

    def begin(self, part: str, user: str, object_id: str = "A") -> str:
        """A user begins to edit; whoever stands in line for it has the turn with that."""
        self._number += 1
        session = told(f"s{self._number}", object_id, **person(user), item_id=f"i-{part}")
        session["part_number"] = part
        self.sessions[part][session["session_id"]] = session
        left = [
            one for one in self.places[part] if (one["user"], one["object_id"]) != (user, object_id)
        ]
        self.places[part], had = left, self.places[part]
        self._tell("edit.session_acquired", part, session)
        if had != left:
            self._tell("edit.line_changed", part, {})
        return str(session["session_id"])

    def end(self, part: str, session_id: str) -> None:
        session = self.sessions[part].pop(session_id)
        self._tell("edit.session_released", part, session | {"reason": "released"})

    def change(self, part: str, session_id: str, event: str, **changes: Any) -> None:
        self.sessions[part][session_id].update(changes)
        self._tell(event, part, self.sessions[part][session_id])

    def wait(self, part: str, user: str, object_id: str = "A") -> None:
        self._number += 1
        place = told("", object_id, **person(user), item_id=f"i-{part}")
        place |= {"request_id": f"p{self._number}", "requested_at": "2026-01-01T10:00:00Z"}
        self.places[part].append(place)
        self._tell("edit.line_changed", part, {})

    def leave(self, part: str) -> None:
        del self.places[part][0]
        self._tell("edit.line_changed", part, {})

    def merge(self, part: str, keep: str) -> None:
        """An admin makes two items one: what the first has is the other's, which both part numbers name then."""
        self.kept[part] = keep
        self.sessions[keep] |= self.sessions[part]
        self.places[keep] += self.places[part]
        # It names the item kept, also to those who watched the other one.
        self._tell("item.renamed", keep, {"old_part_number": part}, also=part)

    def _tell(self, event: str, part: str, data: Json, also: str = "") -> None:
        for number in [part, *(one for one, keep in self.kept.items() if keep == part)]:
            self.had[number].append(list(self.sessions[part]))
            self.had_places[number].append([one["request_id"] for one in self.places[part]])
        members = {"item_id": f"i-{part}", "part_number": part}
        self.log.append((event, {part, also}, copy.deepcopy(data) | members))
        self._happened.set()

    def tell(self, event: str, part: str) -> None:
        """Log an event of the item itself."""
        self._tell(event, part, {})

    def trim(self) -> None:
        self.trimmed = len(self.log)

    def break_streams(self) -> None:
        self._broken += 1
        self._happened.set()

    # -- what it answers --

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if self.refusals:
            return self.refusals.pop(0)
        if request.url.path == "/api/edit-sessions/in-use":
            return self._list(json.loads(request.content)["items"])
        return self._stream(request)

    def _list(self, asked: list[str]) -> httpx.Response:
        if bad := [one for one in asked if "\n" in one]:
            message = f"{bad[0]!r} is no part number."
            return httpx.Response(422, json={"error": "invalid", "message": message})
        self.before()
        self.lists.append(asked)
        known = [one for one in asked if one in self.sessions]
        items = [self._listed(one) for one in known[: self.most]]
        answer = {
            "items": items,
            "unknown": [one for one in asked if one not in self.sessions],
            "left": known[self.most :],
            "cursor": str(len(self.log)),
        }
        body = json.dumps(answer)
        self.after()
        return httpx.Response(200, text=body)

    def _listed(self, asked: str) -> Json:
        part = self.kept.get(asked, asked)
        places = [one | {"position": at} for at, one in enumerate(self.places[part], 1)]
        return {
            "item_id": f"i-{part}",
            "part_number": part,
            "asked": [asked],
            "retired_at": None,
            "sessions": list(self.sessions[part].values()),
            "requests": places,
            "complete": self.complete,
        }

    def _stream(self, request: httpx.Request) -> httpx.Response:
        items = request.url.params.get_list("item")
        if not items:
            items = json.loads(request.content)["items"]
        cursor = request.headers["Last-Event-ID"]
        self.streams.append((items, cursor))
        kind = {"Content-Type": "text/event-stream"}
        return httpx.Response(200, headers=kind, content=self._events(items, int(cursor)))

    async def _events(self, items: list[str], at: int) -> AsyncIterator[bytes]:
        broken = self._broken
        self.open += 1
        try:
            opening = {"connection_id": None, "sessions": [], "timings": WITH_GRACE}
            yield _sse("stream-open", at, opening)
            yield _sse("heartbeat", None, {})
            while broken == self._broken:
                if at < self.trimmed:
                    at = len(self.log)
                    yield _sse("stream-reset", at, {})
                elif at < len(self.log):
                    event, parts, data = self.log[at]
                    at += 1
                    if parts & set(items):
                        self.sent.append(event)
                        yield _sse(event, at, data)
                else:
                    self._happened.clear()
                    await self._happened.wait()
        finally:
            self.open -= 1


def _sse(event: str, number: int | None, data: Json) -> bytes:
    named = "" if number is None else f"id: {number}\n"
    return f"event: {event}\n{named}data: {json.dumps(data)}\n\n: keep-alive 0.0\n\n".encode()


class Eyes:
    """A program that watches the world, and its helper's watcher, in one event loop.

    Each picture that the program is told is compared with what the items really had: never one that they did not have,
    and never one of before.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: list[tuple[Watched, tuple[str, ...]]] = []
        self.messages: list[Json] = []
        self.http = httpx.AsyncClient(base_url="http://silo", transport=world.transport)
        self.is_behind = False
        self.watcher = Watcher(self.http, self._pass_on, lambda: self.is_behind)
        self.list = WatchList(self._send, lambda name, call: call() is None, lambda: self._changed)
        self._last: dict[str, tuple[int, int]] = {}
        self._before: dict[str, Any] = {}

    def _pass_on(self, message: Json) -> None:
        # As by the pipe.
        self.messages.append(message)
        self.list.hear(json.loads(json.dumps(message)))

    def _send(self, **command: Any) -> None:
        self.watcher.watch(json.loads(json.dumps(command["watch"])))

    def _changed(self, watched: Watched, changed: tuple[str, ...]) -> None:
        self.told.append((watched, changed))
        for number in changed:
            item = watched.items[number]
            assert item != self._before.get(number), f"{number} was told twice"
            self._before[number] = item
            if item.problem:
                continue
            at, place_at = self._last.get(number, (0, 0))
            ids = [one.session_id for one in item.holders]
            places = [one.request_id for one in item.waiting]
            self._last[number] = (
                at + self.world.had[number][at:].index(ids),
                place_at + self.world.had_places[number][place_at:].index(places),
            )

    def watch(self, *part_numbers: str) -> Watched:
        return self.list.watch(part_numbers, 0)

    @property
    def is_right(self) -> bool:
        """Whether the picture is that of the world now, and says so."""
        picture = self.list.picture
        seen = {
            number: (
                [one.session_id for one in item.holders],
                [one.request_id for one in item.waiting],
            )
            for number, item in picture.items.items()
            if not item.problem
        }
        true = {
            number: (self.world.had[number][-1], self.world.had_places[number][-1])
            for number in seen
        }
        return not picture.stale and seen == true

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something is so."""
        await with_limit(condition, self)


async def with_limit(condition: Callable[[], Any], eyes: Eyes) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + 20
    while not condition():
        assert loop.time() < until, f"{eyes.list.picture} after {eyes.messages[-5:]}"
        await asyncio.sleep(0.002)


def be_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all pauses."""
    for module, name in [
        (watcher, "SETTLE_SECONDS"),
        (watcher, "GATHER_SECONDS"),
        (event_stream, "LOOK_SECONDS"),
    ]:
        monkeypatch.setattr(module, name, 0.001)
    monkeypatch.setattr(watcher, "REFUSED_SECONDS", 0.01)
    monkeypatch.setattr(watcher, "pause", lambda attempt: 0.001)


def run(story: Callable[[World, Eyes], Coroutine[Any, Any, None]], *part_numbers: str) -> None:
    """Run a story of a world with these items, and of eyes that watch it."""

    async def main() -> None:
        world = World(*part_numbers)
        eyes = Eyes(world)
        running = asyncio.create_task(eyes.watcher.run())
        try:
            await story(world, eyes)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await eyes.http.aclose()
        # A stream that is left open would be one of the user's few.
        assert world.open == 0

    asyncio.run(main())
