"""Every stream has a line within the keep-alive time, and no more lines than that needs."""

import random

import pytest

from events_app.serving.keep_alives import GROUP_SECONDS, SLEEP_SECONDS, KeepAlives
from tests.unit.clock import Clock


class Quiet:
    """A stream that notes when something was written."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_open = True
        self.reads = True
        self.writes = [clock.now]
        self.lines = 0

    @property
    def written_at(self) -> float:
        return self.writes[-1]

    def write(self) -> None:
        self.writes.append(self._clock.now)

    def keep_alive(self) -> None:
        if self.reads:
            self.lines += 1
            self.write()


@pytest.fixture
def clock():
    return Clock()


def run(clock: Clock, keep_alives: KeepAlives, seconds: float, each=lambda: None) -> None:
    end = clock.now + seconds
    while clock.now < end:
        clock.now += GROUP_SECONDS
        each()
        keep_alives.tick()


@pytest.mark.parametrize("seconds", [8.0, 1.0, 0.3])
def test_no_pause_is_longer_than_the_keep_alive_time(clock, seconds):
    keep_alives = KeepAlives(seconds, clock)
    streams = []
    for _ in range(50):
        clock.now += random.uniform(0, 0.05)
        streams.append(Quiet(clock))
        keep_alives.add(streams[-1])
        keep_alives.tick()

    def sometimes() -> None:
        random.choice(streams).write()

    run(clock, keep_alives, 10 * seconds, sometimes)
    for stream in streams:
        pauses = [
            later - earlier
            for earlier, later in zip(stream.writes, stream.writes[1:], strict=False)
        ]
        assert max(pauses) <= seconds + 0.001


def test_an_idle_stream_has_a_line_about_each_keep_alive_time(clock):
    keep_alives = KeepAlives(8.0, clock)
    keep_alives.add(stream := Quiet(clock))
    run(clock, keep_alives, 80.0)
    assert 10 <= stream.lines <= 11


def test_a_stream_that_writes_anyway_has_no_line(clock):
    keep_alives = KeepAlives(8.0, clock)
    keep_alives.add(stream := Quiet(clock))
    run(clock, keep_alives, 80.0, stream.write)
    assert stream.lines == 0


def test_a_closed_stream_is_forgotten(clock):
    keep_alives = KeepAlives(8.0, clock)
    keep_alives.add(stream := Quiet(clock))
    stream.is_open = False
    run(clock, keep_alives, 9.0)
    assert (stream.lines, keep_alives._groups) == (0, {})


def test_a_client_that_does_not_read_is_looked_at_again(clock):
    keep_alives = KeepAlives(8.0, clock)
    keep_alives.add(stream := Quiet(clock))
    stream.reads = False
    run(clock, keep_alives, 20.0)
    assert stream.lines == 0
    stream.reads = True
    run(clock, keep_alives, 8.1)
    assert stream.lines == 1


def test_it_sleeps_while_no_line_is_due(clock):
    keep_alives = KeepAlives(8.0, clock)
    assert keep_alives.pause() == SLEEP_SECONDS
    keep_alives.add(Quiet(clock))
    assert keep_alives.pause() == SLEEP_SECONDS
    clock.now += 8.0 - 4 * GROUP_SECONDS
    assert GROUP_SECONDS < keep_alives.pause() < 4 * GROUP_SECONDS
    clock.now += 1.0
    assert keep_alives.pause() == GROUP_SECONDS


@pytest.mark.parametrize("seconds", [8.0, 1.0, 0.3])
def test_streams_that_are_added_while_it_sleeps_have_their_lines_in_time(clock, seconds):
    keep_alives = KeepAlives(seconds, clock)
    streams = []
    for _ in range(100):
        wakes_at = clock.now + keep_alives.pause()
        clock.now += (wakes_at - clock.now) * random.random()
        streams.append(Quiet(clock))
        keep_alives.add(streams[-1])
        clock.now = wakes_at
        keep_alives.tick()
    for stream in streams:
        pauses = [
            later - earlier
            for earlier, later in zip(stream.writes, stream.writes[1:], strict=False)
        ]
        assert max(pauses, default=0.0) <= seconds + 0.001
