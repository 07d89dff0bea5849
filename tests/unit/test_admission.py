"""Streams are let in in the order in which they came, however many, and refused only where nobody gets any further."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from events_app import timings
from events_app.presence.backend import StreamGrant, StreamRefused, StreamRequest
from events_app.serving import admission
from events_app.serving.admission import Admission, NoProgress, Step


class Domain:
    """Grants what is asked for, a set at a time; `requests` are numbers here."""

    def __init__(self):
        self.sets = []
        self.away = 0
        self.seconds = 0.0
        self.broken = set()
        self.known = {}

    def resolve_at_once(self, request):
        return self.known.get(request.http)

    def resolve(self, requests):
        asyncio.run(asyncio.sleep(self.seconds))
        numbers = [request.http for request in requests]
        if self.away:
            self.away -= 1
            raise OperationalError("away")
        if self.broken & set(numbers):
            raise ValueError("broken")
        self.sets.append(numbers)
        return [
            StreamRefused(404, "not_found", "odd") if number % 2 else StreamGrant(frozenset(), None, number)
            for number in numbers
        ]  # fmt: skip


@pytest.fixture
def backend(monkeypatch):
    made = Domain()
    monkeypatch.setattr(admission, "backend", lambda: made)
    monkeypatch.setattr(admission, "in_thread", _in_thread)
    monkeypatch.setattr(admission, "backoff", lambda attempt: 0)
    return made


async def _in_thread(threads, function, *args):
    return await asyncio.get_running_loop().run_in_executor(threads, function, *args)


def run(main):
    with ThreadPoolExecutor(1) as threads:
        return asyncio.run(main(Admission(threads)))


def ask(here, number, size=0):
    return asyncio.ensure_future(here.grant(StreamRequest(lambda: number, {}, size)))


async def verdicts(tasks):
    return [
        verdict.status if isinstance(verdict, StreamRefused) else getattr(verdict, "user_id", verdict)
        for verdict in await asyncio.gather(*tasks, return_exceptions=True)
    ]  # fmt: skip


def test_all_are_let_in_in_their_order_a_set_at_a_time(backend):
    async def main(here):
        return await verdicts([ask(here, number) for number in range(250)])

    assert run(main) == [404 if number % 2 else number for number in range(250)]
    assert backend.sets == [list(range(100)), list(range(100, 200)), list(range(200, 250))]


def test_a_set_with_large_bodies_is_small(backend):
    async def main(here):
        await verdicts([ask(here, number, admission.BYTES_AT_ONCE // 2) for number in range(5)])

    run(main)
    assert backend.sets == [[0, 1], [2, 3], [4]]


def test_a_client_that_leaves_the_queue_is_not_judged(backend):
    async def main(here):
        tasks = [ask(here, number) for number in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await verdicts(tasks)

    run(main)
    assert backend.sets == [[1, 3, 5, 7, 9]]


def test_while_the_database_is_away_they_wait_in_their_order(backend, caplog):
    backend.away = 3

    async def main(here):
        return await verdicts([ask(here, 2 * number) for number in range(150)])

    assert run(main) == [2 * number for number in range(150)]
    assert [number for some in backend.sets for number in some] == list(range(0, 300, 2))
    assert [record.streams for record in caplog.records] == [150, 150, 150]


def test_clients_that_leave_during_a_database_outage_are_forgotten(backend, caplog):
    backend.away = 10**9

    async def main(here):
        tasks = [ask(here, number) for number in range(250)]
        while not caplog.records:  # noqa: ASYNC110  (for a moment)
            await asyncio.sleep(0.001)
        for task in tasks[150:]:
            task.cancel()
        await asyncio.sleep(0)
        caplog.clear()
        while not caplog.records:  # noqa: ASYNC110  (for a moment)
            await asyncio.sleep(0.001)
        backend.away = 0
        await verdicts(tasks)

    run(main)
    assert caplog.records[0].streams == 150
    assert backend.sets == [list(range(100)), list(range(100, 150))]


def test_one_failing_request_does_not_refuse_others(backend):
    backend.broken = {4}

    async def main(here):
        return await verdicts([ask(here, number) for number in (2, 4, 6)])

    first, failed, last = run(main)
    assert (first, last) == (2, 6)
    assert isinstance(failed, ValueError)


def test_waiting_for_a_turn_does_not_refuse(backend, monkeypatch):
    """It takes several times the time-out until the last of them is let in."""
    monkeypatch.setattr(timings, "ARRIVAL_TIMEOUT_SECONDS", 1.0)
    backend.seconds = 0.15
    step = Step("it")

    async def main(here):
        return await verdicts(
            [asyncio.ensure_future(step.take(here.grant(StreamRequest(lambda n=n: 2 * n, {})))) for n in range(1000)]
        )  # fmt: skip

    assert run(main) == [2 * number for number in range(1000)]


def test_without_progress_all_are_refused(backend, monkeypatch):
    monkeypatch.setattr(timings, "ARRIVAL_TIMEOUT_SECONDS", 0.05)
    backend.away = 10**9
    step = Step("it")

    async def main(here):
        found = await verdicts(
            [
                asyncio.ensure_future(step.take(here.grant(StreamRequest(lambda: 2, {}))))
                for _ in range(9)
            ]
        )
        backend.away = 0
        # And when the database is back, the next one is served, and those that left are not asked for.
        return [*found, *await verdicts([ask(here, 4)])]

    *refused, served = run(main)
    assert {type(verdict) for verdict in refused} == {NoProgress}
    assert served == 4
    assert backend.sets[-1] == [4]


def test_a_busy_address_delays_another_by_one_set_at_most(backend):
    def scope(address):
        return {"client": (address, 1), "headers": []}

    async def main(here):
        flood = [
            asyncio.ensure_future(here.grant(StreamRequest(lambda: 2, {}, 0, scope("10.6.6.6"))))
            for _ in range(1000)
        ]
        other = asyncio.ensure_future(
            here.grant(StreamRequest(lambda: 4, {}, 0, scope("10.0.0.9")))
        )
        await asyncio.gather(*flood, other)

    run(main)
    assert 4 in [number for some in backend.sets[:2] for number in some]
    assert sum(map(len, backend.sets)) == 1001


def test_a_request_that_needs_no_question_waits_for_nobody(backend):
    backend.away = 10**9
    backend.known = {
        2: StreamGrant(frozenset(), None, 2),
        3: StreamRefused(404, "not_found", "odd"),
    }

    async def main(here):
        waiting = [ask(here, 10), ask(here, 12)]
        found = await verdicts([ask(here, 2), ask(here, 3)])
        for task in waiting:
            task.cancel()
        await verdicts(waiting)
        return found

    assert run(main) == [2, 404]
    assert backend.sets == []
