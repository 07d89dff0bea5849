"""Watching items: who holds and who waits for each, as the helper reports it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Callable

from silo_client.common.protocol import Message
from silo_client.data import Holder, Lock, time_of
from silo_client.errors import ClosedError, InvalidRequestError
from silo_client.network.time_limit import left

# More parts than an engineer has open, and as many as a batch has. Each costs the server's process half a kilobyte.
MOST_WATCHED = 1_000
# A call that `dispatch` has not carried out for so long may be lost: another one is queued.
UNDELIVERED_SECONDS = 60.0


@dataclass(frozen=True)
class WatchedSession(Holder):
    """A session on a watched item.

    Args:
        away_since: with a grace: since when its workstation has no stream, else None.
        idle_since: since when nobody has touched its workstation, else None.
    """

    away_since: datetime | None = None
    idle_since: datetime | None = None


@dataclass(frozen=True)
class WatchedPlace(Holder):
    """A place in line on a watched item. `session_id` is "", `acquired_at` None: there is no session yet.

    Args:
        request_id: the place.
        position: from 1, in the line for this level and object.
        requested_at: since when it is waited.
    """

    request_id: str = ""
    position: int = 0
    requested_at: datetime | None = None


@dataclass(frozen=True)
class WatchedItem:
    """Who holds and who waits for an item.

    Args:
        part_number: as the server shows it; it may be another spelling than the one that was asked for.
        holders: the sessions, in the order in which they were acquired.
        waiting: the places in line, by level and object, each line in its order.
        retired_at: since when nothing new begins on the item, else None.
        complete: False where there are more than 1,000 sessions or places; the first are named.
        problem: "" or a sentence: why nothing can be watched under this part number. Then all else is empty.
    """

    part_number: str
    holders: tuple[WatchedSession, ...] = ()
    waiting: tuple[WatchedPlace, ...] = ()
    retired_at: datetime | None = None
    complete: bool = True
    problem: str = ""

    @property
    def lines(self) -> dict[Lock, list[WatchedPlace]]:
        """The places by what they wait for, each line in its order."""
        found: dict[Lock, list[WatchedPlace]] = {}
        for place in self.waiting:
            lock = Lock(self.part_number, place.level, place.object_id)
            found.setdefault(lock, []).append(place)
        return found


@dataclass(frozen=True)
class Watched:
    """The picture of all watched items at one moment. It never changes: `workstation.watched` is the present one.

    Args:
        items: by the part numbers that `watch` was given; those that the server has not been asked about yet are
            missing.
        stale: why the picture may be incomplete or out of date, else "".
    """

    items: Mapping[str, WatchedItem] = field(default_factory=lambda: MappingProxyType({}))
    stale: str = ""

    @property
    def problems(self) -> dict[str, str]:
        """The part numbers under which nothing can be watched, each with the reason."""
        return {number: item.problem for number, item in self.items.items() if item.problem}


OnChange = Callable[[Watched, "tuple[str, ...]"], Any]


class WatchList:
    """What a program watches: the set, and the picture of it. Used by several threads.

    Args:
        send: sends a command to the helper.
        call: has a function called where callbacks are wanted; its first argument is the name of the callback. Returns
            whether it will be called.
        on_change: returns the program's callback, or None.
    """

    def __init__(
        self,
        send: Callable[..., Any],
        call: Callable[..., bool],
        on_change: Callable[[], OnChange | None],
    ) -> None:
        self._send = send
        self._call = call
        self._on_change = on_change
        self._condition = threading.Condition()
        self._number = 0
        self._wanted: list[str] = []
        self._picture = Watched()
        self._closed = False
        # What the callback has not been told yet: part numbers, and whether `stale` has changed.
        self._changed: dict[str, None] = {}
        self._told_stale = ""
        # When a call of the callback was queued that has not begun yet.
        self._called_at: float | None = None

    @property
    def picture(self) -> Watched:
        return self._picture

    def watch(self, part_numbers: Iterable[str], wait: float) -> Watched:
        """See `Workstation.watch`."""
        wanted = _checked(part_numbers)
        with self._condition:
            if self._closed:
                raise ClosedError("The workstation was closed.")
            self._number += 1
            self._wanted = wanted
            kept = {one: item for one, item in self._picture.items.items() if one in set(wanted)}
            stale = "The items are being read." if wanted else ""
            self._picture = Watched(MappingProxyType(kept), stale)
            # The caller knows this: it is no news for the callback.
            self._told_stale = stale
            self._changed = {one: None for one in self._changed if one in kept}
            number, command = self._number, self._command()
        # Not under the lock: the helper may take its time. It ignores a command that a later one has overtaken.
        self._send(watch=command)
        deadline = time.monotonic() + left(wait)
        with self._condition:
            while self._picture.stale and self._number == number and not self._closed:
                if not self._condition.wait(max(0.0, deadline - time.monotonic())):
                    break
            return self._picture

    def _command(self) -> Message:
        return {"number": self._number, "items": self._wanted}

    def hear(self, message: Message) -> None:
        """Handle a message of the helper; of most messages there is nothing to do here."""
        if "watched" in message:
            self._take(message["watched"])
        elif "started" in message:
            with self._condition:
                command = self._command()
            if command["items"]:
                # Another helper has died, or this program watched before the first one had started.
                self._send(watch=command)
        elif "died" in message:
            self._stale("The helper process has ended.")

    def close(self) -> None:
        """Note that nothing more will come."""
        with self._condition:
            self._closed = True
            if self._wanted:
                self._picture = replace(self._picture, stale="The workstation was closed.")
            self._condition.notify_all()

    def _stale(self, why: str) -> None:
        with self._condition:
            if not self._wanted:
                return
            self._picture = replace(self._picture, stale=why)
        self._report()

    def _take(self, told: Message) -> None:
        with self._condition:
            if told["number"] != self._number or self._closed:
                # Of another set than the present one.
                return
            items = dict(self._picture.items)
            for number, state in told["items"].items():
                item = _item_of(number, state)
                if items.get(number) != item:
                    items[number] = item
                    self._changed[number] = None
            stale = told.get("stale", self._picture.stale)
            self._picture = Watched(MappingProxyType(items), stale)
            self._condition.notify_all()
        self._report()

    def _report(self) -> None:
        """Have the callback called, unless a call is under way already: it will tell the latest picture.

        So a program that computes for minutes finds one call, not hundreds.
        """
        if self._on_change() is None:
            return
        now = time.monotonic()
        with self._condition:
            if self._called_at is not None and now - self._called_at < UNDELIVERED_SECONDS:
                return
            self._called_at = now
        if not self._call("on_change", self._deliver):
            self._called_at = None

    def _deliver(self) -> None:
        """Call the callback with what is new. Runs where callbacks are wanted; a later call may have said it all."""
        with self._condition:
            self._called_at = None
            picture, changed = self._picture, tuple(self._changed)
            if self._closed or (not changed and picture.stale == self._told_stale):
                return
            self._changed = {}
            self._told_stale = picture.stale
        on_change = self._on_change()
        if on_change is not None:
            on_change(picture, changed)


def _checked(part_numbers: Iterable[str]) -> list[str]:
    if isinstance(part_numbers, (str, bytes)):
        raise TypeError("watch takes a list of part numbers, not one text")
    wanted = list(dict.fromkeys(part_numbers))
    for number in wanted:
        if not isinstance(number, str):
            raise TypeError(f"a part number is a text, not {number!r}")
    if len(wanted) > MOST_WATCHED:
        why = f"A workstation watches at most {MOST_WATCHED:,} items, not {len(wanted):,}."
        raise InvalidRequestError(422, "invalid", why, {})
    return wanted


def _item_of(number: str, state: Mapping[str, Any]) -> WatchedItem:
    if "problem" in state:
        return WatchedItem(number, problem=str(state["problem"]))
    return WatchedItem(
        str(state["part_number"]),
        tuple(_session_of(one) for one in state["sessions"]),
        tuple(_place_of(one) for one in state["requests"]),
        time_of(state["retired_at"]),
        bool(state["complete"]),
    )


def _session_of(payload: Mapping[str, Any]) -> WatchedSession:
    return WatchedSession(
        **vars(Holder.from_payload(payload)),
        away_since=time_of(payload.get("away_since")),
        idle_since=time_of(payload.get("idle_since")),
    )


def _place_of(payload: Mapping[str, Any]) -> WatchedPlace:
    return WatchedPlace(
        **vars(Holder.from_payload(payload)),
        request_id=str(payload["request_id"]),
        position=int(payload["position"]),
        requested_at=time_of(payload["requested_at"]),
    )
