"""One question to the database for all who ask at the same time, and never a long wait for its answer."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from events_app.database.probe import DatabaseProbe

PATIENCE = 0.1
# On a busy machine.
SLACK = 1.0


class Database:
    """Answers when it is told to; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = ""
        self.unanswered = "it is frozen"
        self.frozen = threading.Event()
        self.thawed = threading.Event()

    def run(self) -> str:
        self.asked += 1
        if self.frozen.is_set():
            self.thawed.wait()
        return self.answer


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()
    yield database
    database.thawed.set()


async def refreshed(probe: DatabaseProbe) -> bool | None:
    await probe.refresh()
    return probe.available


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SLACK
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", ["", "the disk is full"])
def test_it_says_what_the_database_says(database, answer):
    database.answer = answer
    probe = DatabaseProbe(database, 5)
    assert asyncio.run(refreshed(probe)) is not bool(answer)
    assert probe.reason == answer


def test_nothing_is_said_before_it_was_asked(database):
    assert DatabaseProbe(database, 5).available is None
    assert database.asked == 0


def test_concurrent_probes_share_the_answer(database):
    async def many() -> list[bool | None]:
        probe = DatabaseProbe(database, 5)
        return list(await asyncio.gather(*(refreshed(probe) for _ in range(100))))

    assert asyncio.run(many()) == [True] * 100
    assert database.asked == 1


def test_a_frozen_database_is_queried_once(database):
    async def ask() -> None:
        probe = DatabaseProbe(database, PATIENCE)
        threads = threading.active_count()
        database.frozen.set()
        begun = time.monotonic()
        assert set(await asyncio.gather(*(refreshed(probe) for _ in range(100)))) == {False}
        assert PATIENCE <= time.monotonic() - begun < PATIENCE + SLACK
        assert probe.reason.startswith("it is frozen: for 0.")
        for _ in range(100):
            assert await refreshed(probe) is False
        assert time.monotonic() - begun < PATIENCE + SLACK
        assert database.asked == 1
        assert threading.active_count() <= threads + 1
        database.thawed.set()

    asyncio.run(ask())


def test_a_late_answer_is_discarded_and_asked_for_again(database):
    async def ask() -> None:
        probe = DatabaseProbe(database, PATIENCE)
        database.frozen.set()
        assert await refreshed(probe) is False
        database.frozen.clear()
        database.thawed.set()
        probe._patience = 5
        await until(lambda: probe._asking is not None and probe._asking.done())
        database.answer = "no"
        assert await refreshed(probe) is False
        database.answer = ""
        assert await refreshed(probe) is True
        assert database.asked == 3

    asyncio.run(ask())


def test_a_cancelled_probe_does_not_cancel_the_others(database):
    async def ask() -> None:
        probe = DatabaseProbe(database, 5)
        database.frozen.set()
        impatient, patient = (asyncio.create_task(refreshed(probe)) for _ in range(2))
        await until(lambda: database.asked == 1)
        impatient.cancel()
        database.thawed.set()
        assert await patient is True
        assert impatient.cancelled()

    asyncio.run(ask())


def test_only_a_good_answer_is_cached_and_briefly(database):
    async def ask() -> None:
        probe = DatabaseProbe(database, 5, kept=3600)
        database.answer = "no"
        assert [await refreshed(probe) for _ in range(2)] == [False, False]
        assert database.asked == 2
        database.answer = ""
        assert [await refreshed(probe) for _ in range(5)] == [True] * 5
        assert database.asked == 3
        database.answer = "no"
        probe._good_since -= 3600
        assert set(await asyncio.gather(*(refreshed(probe) for _ in range(10)))) == {False}
        assert probe.reason == "no"

    asyncio.run(ask())
