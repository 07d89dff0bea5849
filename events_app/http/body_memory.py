"""The memory that all large bodies of a process share, from the first byte of each to the end of its request."""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final

# How long a body waits for memory before it is refused. Memory is free long before, unless every user who has a part of
# it sends as slowly as a client may.
PATIENCE_SECONDS: Final = 60.0


class NoRoom(Exception):
    """There was no memory for a body for as long as one may wait."""


class TooManyWaiting(Exception):
    """The owner of a body has as many as may wait already."""


class Place:
    """The part of the memory that one body has."""

    def __init__(self, memory: "BodyMemory", owner: Hashable, size: int) -> None:
        self._memory = memory
        self._owner = owner
        self.size = size

    def free(self) -> None:
        """Give it back; idempotent."""
        size, self.size = self.size, 0
        if size:
            self._memory.freed(self._owner, size)


class BodyMemory:
    """Gives places in the order of the requests, but skips owners who have their share already.

    Args:
        total: bytes of all bodies together.
        share: bytes of one owner's bodies. Both have room for the largest body.
        waiting: how many bodies of one owner may wait.
        patience: for how many seconds a body waits.
        emptied: called when the last place was given back.
    """

    def __init__(
        self,
        total: int,
        share: int,
        waiting: int,
        patience: float = PATIENCE_SECONDS,
        emptied: Callable[[], None] = lambda: None,
    ) -> None:
        self._total = total
        self._share = share
        self._most_waiting = waiting
        self._patience = patience
        self._emptied = emptied
        self._used: Counter[Hashable] = Counter()
        self._queue: dict[asyncio.Future[Place], tuple[Hashable, int]] = {}

    @property
    def used(self) -> int:
        """Bytes that bodies have."""
        return self._used.total()

    async def place(self, owner: Hashable, size: int) -> Place:
        """Wait for memory.

        Args:
            owner: the user whose share it counts for.
            size: bytes, at most a share.

        Raises:
            TooManyWaiting: at once, where so many of the owner's bodies wait.
            NoRoom: where it had to wait too long.
        """
        if sum(one == owner for one, _ in self._queue.values()) >= self._most_waiting:
            raise TooManyWaiting
        answer: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._queue[answer] = owner, size
        self._give()
        try:
            async with asyncio.timeout(self._patience):
                return await answer
        except TimeoutError:
            self._give_up(answer)
            raise NoRoom from None
        except asyncio.CancelledError:
            self._give_up(answer)
            raise

    def freed(self, owner: Hashable, size: int) -> None:
        """A place was given back."""
        self._used[owner] -= size
        if not self._used[owner]:
            del self._used[owner]
        self._give()
        if not self._used:
            self._emptied()

    def _give_up(self, answer: "asyncio.Future[Place]") -> None:
        """Leave the queue; give back a place that was given in the same moment."""
        if self._queue.pop(answer, None) is None and not answer.cancelled():
            answer.result().free()
        else:
            # A large one at the head of the queue may have kept others waiting.
            self._give()

    def _give(self) -> None:
        left = self._total - self.used
        for answer, (owner, size) in list(self._queue.items()):
            if answer.done() or self._used[owner] + size > self._share:
                continue
            if size > left:
                # It is the next one; smaller ones behind it would keep it waiting for ever.
                break
            del self._queue[answer]
            self._used[owner] += size
            left -= size
            answer.set_result(Place(self, owner, size))
