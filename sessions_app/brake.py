"""Has something that failed tried again more and more slowly, for each key by itself, in bounded memory."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

# Some 200 bytes each. A key that is forgotten may be tried afresh: who can send from more addresses than this has
# to be held off before this service.
MAX_KEYS = 10_000


class Brake:
    """So many attempts of a key at once, then one in each interval. May be used by any thread.

    Args:
        burst: how many attempts may come at once.
        interval: in seconds, after which one attempt more may come.
        max_keys: of how many keys it remembers the attempts, those that were used last.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        burst: int,
        interval: float,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._interval = interval
        self._max_keys = max_keys
        self._clock = clock
        # When all that a key has attempted is forgotten: each attempt moves it by an interval.
        self._paid_at: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> float:
        """Count an attempt before it is made, so that those made at once are counted too.

        Returns:
            0 if it may be made, or for how many seconds there may be none; then it was not counted.
        """
        with self._lock:
            now = self._clock()
            paid_at = max(now, self._paid_at.get(key, now)) + self._interval
            wait = paid_at - now - self._burst * self._interval
            if wait > 0:
                return wait
            self._paid_at[key] = paid_at
            self._paid_at.move_to_end(key)
            if len(self._paid_at) > self._max_keys:
                self._paid_at.popitem(last=False)
            return 0.0

    def give_back(self, key: Hashable) -> None:
        """Take one attempt back: it did not fail."""
        with self._lock:
            if key in self._paid_at:
                self._paid_at[key] -= self._interval

    def forget(self, key: Hashable) -> None:
        """Forget all attempts of a key."""
        with self._lock:
            self._paid_at.pop(key, None)

    def clear(self) -> None:
        """Forget all attempts."""
        with self._lock:
            self._paid_at.clear()
