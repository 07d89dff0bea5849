"""What makes load, each in a process of its own by `Apart`: repeated operations, and open streams."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.apart import own_cpu_seconds
from benchmarks.wire import Caller, Stream

Operation = Callable[[], Awaitable[int]]
# Makes the operation of the client with this number; returns how much each call did.
Client = Callable[[int], Awaitable[Operation]]
OPENING_AT_ONCE = 100


@dataclass(frozen=True)
class Rate:
    """How often something was done.

    Attributes:
        count: how often, in `seconds`.
        took: the seconds of each call, ascending.
        cpu_seconds: processor time of the load generator.
    """

    count: int
    seconds: float
    took: list[float]
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


class Hammer:
    """Clients of which each does the same again and again."""

    async def run(self, client: Client, clients: int, seconds: float) -> Rate:
        """Have so many clients do it for so long."""
        operations = [await client(number) for number in range(clients)]
        took: list[float] = []
        used, begun = own_cpu_seconds(), time.monotonic()
        counts = await asyncio.gather(
            *(_repeat(each, begun + seconds, took) for each in operations)
        )
        return Rate(sum(counts), time.monotonic() - begun, sorted(took), own_cpu_seconds() - used)


async def _repeat(operation: Operation, until: float, took: list[float]) -> int:
    count, now = 0, time.monotonic()
    while now < until:
        count += await operation()
        took.append(-(now - (now := time.monotonic())))
    return count


@dataclass(frozen=True)
class Wanted:
    """A stream to open: where, with which request, by what it counts as open, and which events count."""

    port: int
    request: bytes
    opened_by: bytes
    counted: bytes


class Streams:
    """Many open streams."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []
        # When the events of each stream came.
        self._times: list[list[float]] = []
        self._all = 0
        self._changed = asyncio.Event()

    async def open(self, wanted: Sequence[Wanted]) -> float:
        """Open these streams, a hundred at once; return the seconds until all were open."""
        gate, begun = asyncio.Semaphore(OPENING_AT_ONCE), time.monotonic()
        await asyncio.gather(*(self._open(each, gate) for each in wanted))
        return time.monotonic() - begun

    async def _open(self, wanted: Wanted, gate: asyncio.Semaphore) -> None:
        times: list[float] = []

        def told(now: float, count: int) -> None:
            times.extend([now] * count)
            self._all += count
            self._changed.set()

        async with gate:
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: Stream(wanted.request, wanted.opened_by, wanted.counted, told),
                "127.0.0.1",
                wanted.port,
            )
            self._streams.append(stream)
            self._times.append(times)
            await stream.opened

    async def until(self, count: int, within: float) -> float:
        """Wait until all streams together have had so many events; return when the last of them came.

        Raises:
            TimeoutError: they had not, `within` so many seconds.
        """
        async with asyncio.timeout(within):
            while self._all < count:
                self._changed.clear()
                await self._changed.wait()
        return max(times[-1] for times in self._times if times)

    async def count(self) -> int:
        """Return how many events all streams together have had."""
        return self._all

    async def times(self) -> list[list[float]]:
        """Return when the events of each stream came, and forget them."""
        gone = [list(times) for times in self._times]
        for times in self._times:
            times.clear()
        self._all = 0
        return gone

    async def cpu_seconds(self) -> float:
        """Return the processor time of this process."""
        return own_cpu_seconds()

    async def close(self) -> None:
        """Close all streams."""
        for stream in self._streams:
            stream.transport.abort()
        self._streams.clear()
        self._times.clear()
        self._all = 0


class Publisher:
    """Sends requests at fixed times."""

    async def run(self, port: int, requests: Sequence[bytes], every: float) -> list[float]:
        """Send each request, `every` so many seconds one; return when each was sent."""
        caller = await Caller.connect(port)
        begun, sent = time.monotonic(), []
        for number, data in enumerate(requests):
            await asyncio.sleep(begun + number * every - time.monotonic())
            if caller.closed:  # as Pushpin does after each answer
                caller = await Caller.connect(port)
            sent.append(time.monotonic())
            status, body = await caller.call(data)
            if status >= 300:
                raise RuntimeError(f"publishing was answered {status}: {body[:300]!r}")
        caller.close()
        return sent
