"""Signs of life that wait: whose turn it is, what shares a place, and that none keeps another from being written."""

import asyncio
import uuid
from types import SimpleNamespace

import psycopg
import pytest
from django.db import OperationalError

from events_app.presence import alive_queue
from events_app.presence.acknowledgements import ObservedClock
from events_app.presence.alive_queue import QUICK_AT_ONCE, AliveRequests
from events_app.presence.backend import AliveRequest, Outcome, StreamRefused

BEAT = 2.5
REFUSED = StreamRefused(403, "forbidden", "No.")


def request_of(name):
    return SimpleNamespace(headers={"Authorization": f"Bearer {name}"})


def sign(name="ada", key=None, connection_id=None, said=None):
    return AliveRequest(request_of(name), key or uuid.uuid4(), connection_id, said)


class Domain:
    """Writes what it is given; `verdicts` says what becomes of a key, `hindered` which keys cannot be written."""

    def __init__(self):
        self.sets = []
        self.verdicts = {}
        self.hindered = {}
        self.away = 0
        self.held = None

    def alive(self, signs, *, quick):
        if self.held:
            self.held.wait()
        if self.away:
            self.away -= 1
            raise OperationalError("away") from psycopg.OperationalError("away")
        for one in signs:
            if error := self.hindered.get(one.key):
                raise error
        self.sets.append((quick, list(signs)))
        return [self._verdict(one, quick) for one in signs]

    def _verdict(self, one, quick):
        verdicts = self.verdicts.get(one.key, [None])
        return verdicts.pop(0) if len(verdicts) > 1 else verdicts[0]


@pytest.fixture
def backend(monkeypatch):
    there = Domain()
    monkeypatch.setattr(alive_queue, "backend", lambda: there)
    monkeypatch.setattr(alive_queue, "backoff", lambda attempt: 0.001)
    return there


@pytest.fixture
def permitted():
    return []


@pytest.fixture
def run(backend, permitted):
    """Run a coroutine that gets the signs of life of a process; return what it returns."""

    def run(main):
        async def in_time():
            signs = AliveRequests(
                ObservedClock(BEAT), lambda key, stream, at: permitted.append((key, stream))
            )
            async with asyncio.timeout(20):
                return await main(signs)

        return asyncio.run(in_time())

    return run


def lock_timeout():
    error = OperationalError("canceling statement due to lock timeout")
    error.__cause__ = psycopg.errors.LockNotAvailable()
    return error


def answers_of(run, some):
    async def main(signs):
        return await asyncio.gather(*(signs.take(one) for one in some))

    return run(main)


def test_all_that_wait_are_written_as_one_set(run, backend, permitted):
    some = [sign(f"user-{n}") for n in range(QUICK_AT_ONCE)]
    assert answers_of(run, some) == [None] * len(some)
    assert len(backend.sets) == 1
    assert set(permitted) == {(one.key, None) for one in some}


def test_a_set_has_an_end(run, backend):
    some = [sign() for _ in range(QUICK_AT_ONCE + 1)]
    assert answers_of(run, some) == [None] * len(some)
    assert [len(signs) for _, signs in backend.sets] == [QUICK_AT_ONCE, 1]


def test_the_user_with_the_most_requests_waits_longest(run, backend):
    many, one = [sign("mallory") for _ in range(2 * QUICK_AT_ONCE)], sign("ada")
    answers_of(run, [*many, one])
    assert one in backend.sets[0][1]


def test_a_refused_alive_request_acknowledges_nothing(run, backend, permitted):
    bad, good = sign(), sign()
    backend.verdicts[bad.key] = [REFUSED]
    assert answers_of(run, [bad, good]) == [REFUSED, None]
    assert permitted == [(good.key, None)]


def test_a_repeated_alive_request_shares_the_place_and_the_latest_counts(run, backend):
    key, stream = uuid.uuid4(), uuid.uuid4()
    some = [sign("ada", key, stream, said) for said in (1, 2, 3)]
    assert answers_of(run, some) == [None] * 3
    [(_, [written])] = backend.sets
    assert written.said == 3


def test_requests_of_other_credentials_share_no_place(run, backend):
    key, stream = uuid.uuid4(), uuid.uuid4()
    answers_of(run, [sign("ada", key, stream), sign("mallory", key, stream)])
    [(_, written)] = backend.sets
    assert len(written) == 2


def test_an_alive_request_is_written_though_its_client_left(run, backend, permitted):
    one = sign()

    async def main(signs):
        answer = signs.take(one)
        answer.cancel()
        while not permitted:  # noqa: ASYNC110  (nothing tells of it)
            await asyncio.sleep(0.001)

    run(main)
    assert permitted == [(one.key, None)]


def test_a_locked_workstation_is_retried_and_delays_no_other(run, backend):
    locked, free = sign(), sign()
    backend.verdicts[locked.key] = [Outcome.LOCKED, Outcome.LOCKED, None]
    assert answers_of(run, [locked, free]) == [None, None]
    assert [len(signs) for _, signs in backend.sets] == [2, 1, 1]


def test_a_workstation_locked_for_long_waits_separately(run, backend, monkeypatch):
    """Where two operations of a workstation always follow each other, nobody who only looks finds it free."""
    monkeypatch.setattr(alive_queue, "LOCKED_PATIENCE_SECONDS", 0.2)
    locked, free = sign(), sign()
    write, waited = backend.alive, []

    def alive(signs, *, quick):
        if not quick and locked in signs:
            waited.append([one.key for one in signs])
            if len(waited) == 1:
                raise lock_timeout()
            backend.verdicts.clear()
        return write(signs, quick=quick)

    backend.verdicts[locked.key] = [Outcome.LOCKED]
    backend.verdicts[free.key] = [Outcome.SLOW, None]
    monkeypatch.setattr(backend, "alive", alive)
    assert answers_of(run, [locked, free]) == [None, None]
    assert waited == [[locked.key], [locked.key]]


def test_a_separate_wait_holds_no_other_lock(run, backend, monkeypatch):
    monkeypatch.setattr(alive_queue, "LOCKED_PATIENCE_SECONDS", -1.0)
    some = [sign(f"user-{n}") for n in range(5)]
    for n, one in enumerate(some):
        backend.verdicts[one.key] = [Outcome.LOCKED if n in (1, 3) else Outcome.SLOW, None]
    assert answers_of(run, some) == [None] * 5
    assert [len(signs) for quick, signs in backend.sets if not quick] == [3, 1, 1]


def test_a_change_of_idleness_is_announced_separately(run, backend, permitted):
    one = sign(said=60)
    backend.verdicts[one.key] = [Outcome.NOTIFIES, None]
    assert answers_of(run, [one]) == [None]
    assert [(quick, signs[0].noted) for quick, signs in backend.sets] == [
        (True, False),
        (False, True),
    ]
    assert permitted == [(one.key, None)]


def test_slow_alive_requests_are_all_handled_separately(run, backend, permitted):
    one = sign()
    backend.verdicts[one.key] = [Outcome.SLOW, None]
    assert answers_of(run, [one]) == [None]
    assert [(quick, signs[0].noted) for quick, signs in backend.sets] == [
        (True, False),
        (False, False),
    ]
    assert permitted == [(one.key, None)]


@pytest.mark.parametrize("error", [lock_timeout(), ValueError("a bug")])
def test_one_failing_alive_request_does_not_block_others(run, backend, error):
    bad, good = sign(), [sign() for _ in range(5)]
    backend.hindered[bad.key] = error
    *others, refusal = answers_of(run, [*good, bad])
    assert others == [None] * 5
    assert refusal.status == (503 if isinstance(error, OperationalError) else 500)


def test_a_failed_announcement_keeps_the_acknowledgement(run, backend, monkeypatch):
    one = sign(said=60)
    backend.verdicts[one.key] = [Outcome.NOTIFIES]
    write = backend.alive

    def fails_to_tell(signs, *, quick):
        if not quick:
            raise lock_timeout()
        return write(signs, quick=quick)

    monkeypatch.setattr(backend, "alive", fails_to_tell)
    assert answers_of(run, [one]) == [None]


def test_alive_requests_wait_during_a_database_outage(run, backend):
    backend.away = 3
    assert answers_of(run, [sign(), sign()]) == [None, None]
    assert [len(signs) for _, signs in backend.sets] == [2]


def test_alive_requests_are_answered_when_an_outage_lasts_too_long(run, backend, monkeypatch):
    monkeypatch.setattr(alive_queue, "UNAVAILABLE_SECONDS", 0.0)
    backend.away = 1
    [refusal] = answers_of(run, [sign()])
    assert (refusal.status, backend.sets) == (503, [])


def test_many_waiting_alive_requests_are_all_answered_after_an_outage(run, backend, monkeypatch):
    monkeypatch.setattr(alive_queue, "UNAVAILABLE_SECONDS", 0.0)
    monkeypatch.setattr(alive_queue, "QUICK_AT_ONCE", 2)
    backend.away = 1
    refusals = answers_of(run, [sign(str(n % 3)) for n in range(20)])
    assert [refusal and refusal.status for refusal in refusals] == [503] * 20
    assert backend.sets == []


@pytest.mark.parametrize(
    ("stream", "until", "expected"),
    [("its own", 1.0, True), (None, 1.0, True), ("another", 1.0, False), ("its own", -1.0, False)],
)
def test_a_stream_is_not_judged_while_its_timely_answer_waits(
    run, backend, stream, until, expected
):
    key, connection_id = uuid.uuid4(), uuid.uuid4()
    named = {"its own": connection_id, None: None, "another": uuid.uuid4()}[stream]

    async def main(signs):
        answer = signs.take(sign("ada", key, named))
        waiting = signs.waiting({connection_id: (key, until)})
        await answer
        return waiting, signs.waiting({connection_id: (key, until)})

    assert run(main) == ({connection_id} if expected else set(), set())


def test_the_queue_reports_its_delay(run, backend):
    async def main(signs):
        before = signs.behind
        answer = signs.take(sign())
        await asyncio.sleep(0)
        behind = signs.behind
        await answer
        return before, behind > 0, signs.behind

    assert run(main) == (0, True, 0)


def test_a_viewers_alive_request_is_answered_and_acknowledges_nothing(run, backend, permitted):
    one = sign()
    backend.verdicts[one.key] = [Outcome.IGNORED]
    assert answers_of(run, [one]) == [None]
    assert permitted == []
