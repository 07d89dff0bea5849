"""The clock of acknowledgements, and whose time is over by it."""

import uuid

import pytest

from events_app.presence.acknowledgements import (
    LOOP_PAUSE_SECONDS,
    TICK_SECONDS,
    Acknowledgements,
    ObservedClock,
)
from tests.unit.clock import Clock

BEAT = 2.0
# A tick that is a little late, and that adds up without rounding.
TICK = 0.125
PATIENCE = 10.0
ADA, BOB = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def time():
    return Clock()


@pytest.fixture
def clock(time):
    return ObservedClock(BEAT, time)


@pytest.fixture
def acknowledgements(clock):
    return Acknowledgements(clock, PATIENCE)


@pytest.fixture
def runs(time, clock):
    """Let time pass in which the event loop of this process runs."""

    def tick(seconds):
        for _ in range(int(seconds / TICK)):
            time.now += TICK
            clock.tick()

    return tick


@pytest.fixture
def passes(clock, runs):
    """Let time pass in which this process beats."""

    def beat(seconds):
        for _ in range(int(seconds / BEAT)):
            runs(BEAT)
            clock.beaten(0)

    return beat


def ask(acknowledgements, *who):
    """Write a heartbeat to those that are to answer one."""
    for one in who:
        acknowledgements.written(one)


def test_the_clock_begins_at_nothing(clock):
    assert clock.seconds == 0


def test_between_beats_it_goes_on(runs, clock):
    runs(1.5)
    assert clock.seconds == clock.since_beat == 1.5


def test_it_stands_still_when_a_beat_is_overdue(runs, clock):
    runs(60)
    assert clock.seconds == BEAT
    assert clock.since_beat == 60


def test_a_beat_tells_how_long_ago_the_one_before_was(time, clock):
    time.now += 3
    assert clock.beaten(0) == 3
    assert clock.since_beat == 0


def test_beats_in_time_count_all_of_it(clock, passes):
    passes(20)
    assert clock.seconds == 20


def test_a_late_beat_vouches_for_two_beats_at_most(runs, clock):
    runs(1.5 * BEAT)
    clock.beaten(0)
    assert clock.seconds == 1.5 * BEAT
    runs(60)
    clock.beaten(0)
    assert clock.seconds == 3.5 * BEAT


def test_it_stands_still_while_the_loop_does(time, clock, runs):
    """In that time no client could be heard, though the beats, which have a thread, may go on."""
    time.now += BEAT
    assert clock.seconds == LOOP_PAUSE_SECONDS
    clock.beaten(0)
    assert clock.seconds == LOOP_PAUSE_SECONDS
    runs(1)
    assert clock.seconds == pytest.approx(LOOP_PAUSE_SECONDS + 1)


def test_a_tick_that_is_a_little_late_costs_nothing(time, clock):
    assert TICK_SECONDS < LOOP_PAUSE_SECONDS
    for _ in range(5):
        time.now += LOOP_PAUSE_SECONDS
        clock.tick()
    assert clock.seconds == pytest.approx(5 * LOOP_PAUSE_SECONDS)


def test_the_clock_never_goes_back(time, clock, runs):
    shown = []
    for pause in (0.5, 3 * BEAT, BEAT, 100, 0):
        runs(pause / 2)
        time.now += pause / 2
        shown.append(clock.seconds)
        clock.beaten(0)
        shown.append(clock.seconds)
    assert shown == sorted(shown)


def test_time_before_the_clock_began_does_not_count(time, clock):
    time.now += 60
    clock.begin()
    assert (clock.seconds, clock.since_beat) == (0, 0)


def test_an_arrival_has_time_to_answer(acknowledgements, passes):
    acknowledgements.arrived(ADA)
    ask(acknowledgements, ADA)
    passes(PATIENCE - BEAT)
    assert acknowledgements.due() == {}
    passes(BEAT)
    assert acknowledgements.due() == {ADA: 0}


def test_no_time_passes_before_the_heartbeat_is_written(acknowledgements, passes):
    acknowledgements.arrived(ADA)
    acknowledgements.arrived(BOB)
    ask(acknowledgements, BOB)
    passes(PATIENCE)
    assert acknowledgements.due() == {BOB: 0}
    ask(acknowledgements, ADA, BOB)
    passes(PATIENCE)
    assert acknowledgements.due() == {BOB: 0, ADA: PATIENCE}


def test_a_second_heartbeat_does_not_extend_the_deadline(acknowledgements, passes):
    acknowledgements.arrived(ADA)
    ask(acknowledgements, ADA)
    passes(PATIENCE)
    acknowledgements.asked([], [ADA])
    ask(acknowledgements, ADA)
    assert acknowledgements.due() == {ADA: 0}


@pytest.mark.parametrize(("at", "due"), [(0, []), (4, []), (-1, [ADA])])
def test_an_answer_after_the_heartbeat_counts(acknowledgements, passes, at, due):
    acknowledgements.arrived(ADA)
    ask(acknowledgements, ADA)
    passes(PATIENCE)
    acknowledgements.answered(ADA, at)
    acknowledgements.answered(BOB, at)
    assert list(acknowledgements.due()) == due


def test_no_time_passes_during_an_outage(acknowledgements, passes, runs):
    acknowledgements.arrived(ADA)
    ask(acknowledgements, ADA)
    runs(100 * PATIENCE)
    assert acknowledgements.due() == {}
    passes(PATIENCE)
    assert list(acknowledgements.due()) == [ADA]


def test_an_answer_renews_the_deadline_of_its_stream_only(acknowledgements, passes):
    acknowledgements.arrived(ADA)
    acknowledgements.arrived(BOB)
    ask(acknowledgements, ADA, BOB)
    passes(6)
    acknowledgements.asked([ADA], [ADA, BOB])
    ask(acknowledgements, ADA, BOB)
    passes(4)
    assert acknowledgements.due() == {BOB: 0}
    passes(6)
    assert acknowledgements.due() == {BOB: 0, ADA: 6}


def test_a_heartbeat_sets_deadlines_where_none_is_set(acknowledgements, passes):
    passes(4)
    acknowledgements.asked([], [ADA])
    ask(acknowledgements, ADA)
    passes(PATIENCE)
    assert acknowledgements.due() == {ADA: 4}


def test_a_stream_that_has_ended_need_not_answer(acknowledgements, passes):
    acknowledgements.arrived(ADA)
    acknowledgements.left(ADA)
    acknowledgements.left(BOB)
    ask(acknowledgements, ADA, BOB)
    passes(PATIENCE)
    assert acknowledgements.due() == {}


def test_deadlines_are_forgotten_and_set_anew(acknowledgements, passes):
    acknowledgements.arrived(ADA)
    ask(acknowledgements, ADA)
    passes(PATIENCE)
    acknowledgements.forget()
    assert acknowledgements.due() == {}
    acknowledgements.asked([], [ADA])
    ask(acknowledgements, ADA)
    assert acknowledgements.due() == {}
    passes(PATIENCE)
    assert acknowledgements.due() == {ADA: PATIENCE}


def test_silence_departs_unless_another_server_has_the_answer(acknowledgements, passes):
    acknowledgements.arrived(ADA)
    acknowledgements.arrived(BOB)
    ask(acknowledgements, ADA, BOB)
    passes(PATIENCE)
    due = acknowledgements.due()
    assert acknowledgements.judge(due, {BOB}) == {BOB}
    assert acknowledgements.due() == {}
    acknowledgements.asked([ADA], [ADA])
    ask(acknowledgements, ADA)
    passes(PATIENCE)
    assert list(acknowledgements.due()) == [ADA]


@pytest.mark.parametrize("meanwhile", ["asked", "answered", "forget", "left"])
def test_stale_silent_result_is_ignored(acknowledgements, passes, meanwhile):
    acknowledgements.arrived(ADA)
    ask(acknowledgements, ADA)
    passes(PATIENCE)
    due = acknowledgements.due()
    passes(BEAT)
    arguments = {"asked": [[ADA], [ADA]], "answered": [ADA, 3], "forget": [], "left": [ADA]}
    getattr(acknowledgements, meanwhile)(*arguments[meanwhile])
    ask(acknowledgements, ADA)
    assert acknowledgements.judge(due, {ADA}) == set()
    # What was asked anew still counts.
    passes(PATIENCE)
    assert (ADA in acknowledgements.due()) == (meanwhile == "asked")
