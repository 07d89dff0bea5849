"""A queue whose owners take turns, however many each of them has in it."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits, each thing for its owner, the first of each owner first."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, owner: Hashable, thing: T) -> None:
        """Queue a thing behind those of its owner."""
        self._queues.setdefault(owner, deque()).append(thing)

    def put_back(self, owner: Hashable, thing: T) -> None:
        """Queue a thing that was taken before all others."""
        self._queues.setdefault(owner, deque()).appendleft(thing)
        self._queues.move_to_end(owner, last=False)

    def take(self) -> T:
        """Return the thing whose turn it is; the next turn is another owner's."""
        owner, queue = next(iter(self._queues.items()))
        thing = queue.popleft()
        if queue:
            self._queues.move_to_end(owner)
        else:
            del self._queues[owner]
        return thing
