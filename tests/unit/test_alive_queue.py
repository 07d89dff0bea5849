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


def test_who_asks_much_waits_longest(run, backend):
    many, one = [sign("mallory") for _ in range(2 * QUICK_AT_ONCE)], sign("ada")
    answers_of(run, [*many, one])
    assert one in backend.sets[0][1]


def test_who_is_refused_is_told_and_has_not_acknowledged(run, backend, permitted):
    bad, good = sign(), sign()
    backend.verdicts[bad.key] = [REFUSED]
    assert answers_of(run, [bad, good]) == [REFUSED, None]
    assert permitted == [(good.key, None)]


def test_who_asks_again_shares_the_place_and_the_latest_word_counts(run, backend):
    key, stream = uuid.uuid4(), uuid.uuid4()
    some = [sign("ada", key, stream, said) for said in (1, 2, 3)]
    assert answers_of(run, some) == [None] * 3
    [(_, [written])] = backend.sets
    assert written.said == 3


def test_nobody_shares_the_place_of_other_credentials(run, backend):
    key, stream = uuid.uuid4(), uuid.uuid4()
    answers_of(run, [sign("ada", key, stream), sign("mallory", key, stream)])
    [(_, written)] = backend.sets
    assert len(written) == 2


def test_who_has_left_is_written_all_the_same(run, backend, permitted):
    one = sign()

    async def main(signs):
        answer = signs.take(one)
        answer.cancel()
        while not permitted:  # noqa: ASYNC110  (nothing tells of it)
            await asyncio.sleep(0.001)

    run(main)
    assert permitted == [(one.key, None)]


def test_what_somebody_has_locked_is_tried_again_and_keeps_nobody_waiting(run, backend):
    locked, free = sign(), sign()
    backend.verdicts[locked.key] = [Outcome.LOCKED, Outcome.LOCKED, None]
    assert answers_of(run, [locked, free]) == [None, None]
    assert [len(signs) for _, signs in backend.sets] == [2, 1, 1]


def test_what_is_found_locked_again_and_again_waits_for_the_lock_apart(run, backend, monkeypatch):
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


def test_and_keeps_nobody_elses_locked_meanwhile(run, backend, monkeypatch):
    monkeypatch.setattr(alive_queue, "LOCKED_PATIENCE_SECONDS", -1.0)
    some = [sign(f"user-{n}") for n in range(5)]
    for n, one in enumerate(some):
        backend.verdicts[one.key] = [Outcome.LOCKED if n in (1, 3) else Outcome.SLOW, None]
    assert answers_of(run, some) == [None] * 5
    assert [len(signs) for quick, signs in backend.sets if not quick] == [3, 1, 1]


def test_news_is_told_apart_and_its_client_is_there_already(run, backend, permitted):
    one = sign(said=60)
    backend.verdicts[one.key] = [Outcome.NOTIFIES, None]
    assert answers_of(run, [one]) == [None]
    assert [(quick, signs[0].noted) for quick, signs in backend.sets] == [
        (True, False),
        (False, True),
    ]
    assert permitted == [(one.key, None)]


def test_what_takes_longer_is_all_done_apart(run, backend, permitted):
    one = sign()
    backend.verdicts[one.key] = [Outcome.SLOW, None]
    assert answers_of(run, [one]) == [None]
    assert [(quick, signs[0].noted) for quick, signs in backend.sets] == [
        (True, False),
        (False, False),
    ]
    assert permitted == [(one.key, None)]


@pytest.mark.parametrize("error", [lock_timeout(), ValueError("a bug")])
def test_one_that_cannot_be_written_keeps_no_other_one_from_it(run, backend, error):
    bad, good = sign(), [sign() for _ in range(5)]
    backend.hindered[bad.key] = error
    *others, refusal = answers_of(run, [*good, bad])
    assert others == [None] * 5
    assert refusal.status == (503 if isinstance(error, OperationalError) else 500)


def test_news_that_cannot_be_told_takes_nothing_back(run, backend, monkeypatch):
    one = sign(said=60)
    backend.verdicts[one.key] = [Outcome.NOTIFIES]
    write = backend.alive

    def fails_to_tell(signs, *, quick):
        if not quick:
            raise lock_timeout()
        return write(signs, quick=quick)

    monkeypatch.setattr(backend, "alive", fails_to_tell)
    assert answers_of(run, [one]) == [None]


def test_while_the_database_is_away_they_wait(run, backend):
    backend.away = 3
    assert answers_of(run, [sign(), sign()]) == [None, None]
    assert [len(signs) for _, signs in backend.sets] == [2]


def test_and_are_answered_when_that_takes_too_long(run, backend, monkeypatch):
    monkeypatch.setattr(alive_queue, "UNAVAILABLE_SECONDS", 0.0)
    backend.away = 1
    [refusal] = answers_of(run, [sign()])
    assert (refusal.status, backend.sets) == (503, [])


def test_however_many_there_are_all_are_answered_then(run, backend, monkeypatch):
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
def test_a_stream_is_not_judged_while_its_sign_waits_that_came_in_time(
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


def test_it_tells_for_how_long_it_is_behind(run, backend):
    async def main(signs):
        before = signs.behind
        answer = signs.take(sign())
        await asyncio.sleep(0)
        behind = signs.behind
        await answer
        return before, behind > 0, signs.behind

    assert run(main) == (0, True, 0)


def test_what_counts_for_nothing_is_answered_and_acknowledges_nothing(run, backend, permitted):
    one = sign()
    backend.verdicts[one.key] = [Outcome.IGNORED]
    assert answers_of(run, [one]) == [None]
    assert permitted == []
