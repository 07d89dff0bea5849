"""The requests that wait for a `SetWriter`: they take turns, and some of them fit into one set."""

import asyncio
from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from events_app.fairness.round_robin import RoundRobin

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Bounds:
    """How many requests a writer takes.

    Args:
        requests: of one set. From some 60 on, a larger set is no cheaper for each; this one takes some tens of
            milliseconds, for which everybody waits who wants one of its rows.
        weight: of the requests of one set together; a heavier one is a set of its own.
        waiting: how many requests may wait that can be refused: what a writer does in a second, about.
        waiting_weight: how heavy they may be together. This is for memory.
        caller_weight: how heavy those of one caller may be together, so that no caller makes others be refused.
        age: seconds that one may wait: so long, clients wait for an answer. The database ends each statement of a set,
            and each wait for a lock, earlier.
    """

    requests: int = 100
    weight: int = 10_000
    waiting: int = 2_000
    waiting_weight: int = 500_000
    caller_weight: int = 50_000
    age: float = 10.0


BOUNDS: Final = Bounds()


@dataclass(eq=False, slots=True)
class Waiting(Generic[Request, Outcome]):
    """A request that waits for its set, or for its outcome.

    Args:
        request: the request.
        answer: gets the outcome.
        caller: whose it is.
        kind: a set has requests of one kind.
        keys: a set has one request for each of these.
        weight: what it counts.
        since: when it came, by the loop's clock.
        refusable: whether it may be refused because others wait.
    """

    request: Request
    answer: "asyncio.Future[Outcome]"
    caller: Hashable
    kind: Hashable
    keys: Collection[Hashable]
    weight: int
    since: float
    refusable: bool


class SetQueue(Generic[Request, Outcome]):
    """The requests that wait for a set; the callers take turns."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._turns: RoundRobin[Waiting[Request, Outcome]] = RoundRobin()
        # In the order in which they came.
        self._all: dict[Waiting[Request, Outcome], None] = {}
        # Of those that may be refused: all together, and those of each caller.
        self._refusable = 0
        self._weight = 0
        self._weights: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Waiting[Request, Outcome]]:
        return iter(self._all)

    def is_full_for(self, caller: Hashable) -> bool:
        """Return whether a further request of a caller has to be refused, if it can be."""
        bounds = self._bounds
        return (
            self._refusable >= bounds.waiting
            or self._weight >= bounds.waiting_weight
            or self._weights[caller] >= bounds.caller_weight
        )

    def count(self, caller: Hashable) -> int:
        return self._turns.count(caller)

    def add(self, one: Waiting[Request, Outcome]) -> None:
        self._turns.add(one.caller, one)
        self._note(one)

    def remove(self, one: Waiting[Request, Outcome]) -> None:
        """Forget a request; one that was taken is none."""
        if one in self._all:
            self._turns.remove(one.caller, one)
            self._forget(one)

    def take(self) -> list[Waiting[Request, Outcome]]:
        """Take a set. A request whose key another one has waits for the next set, and comes first there."""
        taken: list[Waiting[Request, Outcome]] = []
        left: list[Waiting[Request, Outcome]] = []
        # Of those that are left, too: who came later for the same key does not overtake them.
        keys: set[Hashable] = set()
        room = self._bounds.weight
        while self._turns and len(taken) < self._bounds.requests:
            one = self._turns.take()
            if one.answer.done():
                # Its submitter left in this very turn of the loop.
                self._forget(one)
                continue
            if taken and one.kind != taken[0].kind:
                # It begins the next set, or one soon after.
                left.append(one)
                if len(left) > self._bounds.requests:
                    break
                continue
            if not keys.isdisjoint(one.keys):
                left.append(one)
            elif taken and one.weight > room:
                left.append(one)
                break
            else:
                taken.append(one)
                room -= one.weight
                self._forget(one)
            keys.update(one.keys)
        for one in reversed(left):
            self._turns.put_back(one.caller, one)
        return taken

    def _note(self, one: Waiting[Request, Outcome]) -> None:
        self._all[one] = None
        self._count(one, 1)

    def _forget(self, one: Waiting[Request, Outcome]) -> None:
        del self._all[one]
        self._count(one, -1)

    def _count(self, one: Waiting[Request, Outcome], sign: int) -> None:
        if not one.refusable:
            return
        self._refusable += sign
        self._weight += sign * one.weight
        self._weights[one.caller] += sign * one.weight
        if not self._weights[one.caller]:
            del self._weights[one.caller]
