"""A queue whose owners take turns. `serving.admission` uses it for new streams, `database.set_writer` for requests."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class RoundRobin(Generic[T]):
    """Entries of several owners, each owner's in the order in which they came."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, OrderedDict[T, None]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._queues)

    def count(self, owner: Hashable) -> int:
        """Return how many things of an owner are queued."""
        return len(self._queues.get(owner, ()))

    def add(self, owner: Hashable, thing: T) -> None:
        """Queue a thing behind those of its owner."""
        self._queues.setdefault(owner, OrderedDict())[thing] = None

    def put_back(self, owner: Hashable, thing: T) -> None:
        """Queue a thing that was taken before all others."""
        queue = self._queues.setdefault(owner, OrderedDict())
        queue[thing] = None
        queue.move_to_end(thing, last=False)
        self._queues.move_to_end(owner, last=False)

    def take(self) -> T:
        """Return the thing whose turn it is; the next turn is another owner's."""
        owner, queue = next(iter(self._queues.items()))
        thing, _ = queue.popitem(last=False)
        if queue:
            self._queues.move_to_end(owner)
        else:
            del self._queues[owner]
        return thing

    def remove(self, owner: Hashable, thing: T) -> None:
        """Forget a thing; one that was taken is none."""
        queue = self._queues.get(owner)
        if queue is not None:
            queue.pop(thing, None)
            if not queue:
                del self._queues[owner]
