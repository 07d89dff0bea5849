"""A cache of what the database says, which every process clears by NOTIFY as soon as it changes.

A trigger notifies a channel in the transaction of the change. Each process that serves listens on a connection of its
own (`notification_thread.py`). The cache is used only while that connection is proved to work: docs/architecture.md,
"Credentials without a query".
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from django.db import connection

K = TypeVar("K")
V = TypeVar("V")

# How long after its last proof of life the cache is used. A change that was committed longer ago has cleared it.
TRUSTED_SECONDS: Final = 1.0
# Of entries with some 600 bytes each: more than there are clients at one server.
MAX_ENTRIES: Final = 50_000
# The payload of a notification that clears everything.
EVERYTHING: Final = ""


def running_clock() -> float:
    """Return seconds of a clock that also runs while the machine is suspended, where the system has one."""
    return time.clock_gettime(_CLOCK)


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Answer(Generic[V]):
    """The database's answer about one key.

    Args:
        value: the answer.
        owner: a notification with this payload drops it.
        seconds: how long it holds, by the database's clock, at the moment of the question.
    """

    value: V
    owner: str
    seconds: float


class NotifiedCache(Generic[K, V]):
    """The cache of one process. Where nobody listens (commands, tests) it keeps nothing, and each look-up is a query.

    Args:
        channel: what its changes are notified on.
        clock: returns seconds.
    """

    def __init__(self, channel: str, clock: Callable[[], float] = running_clock) -> None:
        self.channel = channel
        self.clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, tuple[Answer[V], float]] = OrderedDict()
        self._of_owner: dict[str, set[K]] = {}
        # Changes with everything that is cleared: an answer to a question from before is not kept.
        self._generation = 0
        self._proved_at = float("-inf")
        # Whether notifications do not arrive, though the connection works.
        self._is_deaf = False

    def known(self, key: K) -> V | None:
        """Return what is known about a key without a query; None if that is nothing."""
        with self._lock:
            return self._look(key, self.clock())

    def find(
        self, keys: Collection[K], ask: Callable[[Collection[K]], Mapping[K, Answer[V]]]
    ) -> dict[K, V]:
        """Return the values of these keys.

        Args:
            keys: what is looked for.
            ask: asks the database for those that are not known, and leaves out what it does not have.
        """
        with self._lock:
            asked_at, generation = self.clock(), self._generation
            known = {key: self._look(key, asked_at) for key in keys}
        found = {key: value for key, value in known.items() if value is not None}
        if missing := known.keys() - found.keys():
            answers = ask(missing)
            # A transaction that is open here may see changes of its own, which are not committed.
            if not connection.in_atomic_block:
                self._keep(answers, asked_at, generation)
            found |= {key: answer.value for key, answer in answers.items()}
        return found

    # -- called by the thread that listens --

    def listening(self) -> None:
        """From now on every change is notified. Answers to questions from before are not kept."""
        self.lost()

    def proved(self, asked_at: float) -> None:
        """The connection has answered, so the changes that were committed by then have cleared what they change.

        Args:
            asked_at: the moment before the connection was asked.
        """
        with self._lock:
            self._proved_at = asked_at

    def notified(self, payload: str) -> None:
        """Drop what a notification is about."""
        with self._lock:
            self._generation += 1
            if payload == EVERYTHING:
                self._forget()
            else:
                for key in self._of_owner.pop(payload, ()):
                    del self._kept[key]

    def lost(self) -> None:
        """The connection does not work. Nothing is known any more."""
        with self._lock:
            self._generation += 1
            self._proved_at = float("-inf")
            self._forget()

    def deafened(self, deaf: bool) -> None:
        """Notifications do not arrive, or arrive again. While they do not, nothing is known."""
        with self._lock:
            self._generation += 1
            self._is_deaf = deaf
            self._forget()

    # -- under the lock --

    def _look(self, key: K, now: float) -> V | None:
        if now - self._proved_at > TRUSTED_SECONDS or key not in self._kept:
            return None
        answer, until = self._kept[key]
        if now < until:
            return answer.value
        self._drop(key)
        return None

    def _keep(self, answers: Mapping[K, Answer[V]], asked_at: float, generation: int) -> None:
        with self._lock:
            # A change may have come after the answer; and where nobody listens, nothing would drop it.
            if generation != self._generation or self._is_deaf:
                return
            if self._proved_at == float("-inf"):
                return
            for key, answer in answers.items():
                if key in self._kept:
                    self._drop(key)
                self._kept[key] = answer, asked_at + answer.seconds
                self._of_owner.setdefault(answer.owner, set()).add(key)
                if len(self._kept) > MAX_ENTRIES:
                    self._drop(next(iter(self._kept)))

    def _drop(self, key: K) -> None:
        answer, _ = self._kept.pop(key)
        keys = self._of_owner[answer.owner]
        keys.discard(key)
        if not keys:
            del self._of_owner[answer.owner]

    def _forget(self) -> None:
        self._kept.clear()
        self._of_owner.clear()
