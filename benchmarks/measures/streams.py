"""Opening many streams, each of a client of its own; their memory; and what they cost while nothing happens."""

import time

from benchmarks import machine
from benchmarks.apart import Apart
from benchmarks.build import Build
from benchmarks.load import Streams
from benchmarks.peers.postgres import RawTable, wal_and_hot
from benchmarks.sizes import Size
from benchmarks.subject import Subject

IDLE_SECONDS = 60.0


def take(subject: Subject, size: Size) -> dict[str, float]:
    if isinstance(subject, RawTable):
        wal, hot = subject.beat(size.streams)
        return {"beat_wal": wal, "beat_hot": hot}
    if isinstance(subject, Build) and size.idle_seconds:
        subject.restart()
    if not (wanted := subject.open_many(size.streams)):
        return {}
    clients = Apart(Streams)
    try:
        before, memory = machine.cpu_seconds(subject.pids), resident_bytes(subject)
        seconds = clients.call("open", wanted)
        used = machine.cpu_seconds(subject.pids) - before
        grown = resident_bytes(subject) - memory
        figures = {
            "opened": size.streams / seconds,
            "opened_cpu": used / size.streams * 1e3,
            "stream_kb": grown / size.streams / 1e3,
        }
        if isinstance(subject, Build) and size.idle_seconds:
            figures |= idle(subject, size)
        clients.call("close")
    finally:
        clients.close()
    subject.settle()
    return figures


def idle(build: Build, size: Size) -> dict[str, float]:
    """Watch streams with a session each for some time: CPU seconds a minute, and what the heartbeats write."""
    build.give_sessions()
    # A heartbeat finds room for its rows' next versions once the first ones have been cleaned up.
    time.sleep(size.settling_seconds)
    before, begun = machine.cpu_seconds(build.pids), time.monotonic()
    wal, hot = wal_and_hot(
        build.database, "sessions_app_editsession", lambda: time.sleep(size.idle_seconds)
    )
    used = machine.cpu_seconds(build.pids) - before
    figures = {"idle_cpu": used / (time.monotonic() - begun) * IDLE_SECONDS}
    return figures | ({"beat_wal": wal, "beat_hot": hot} if wal else {})


def resident_bytes(subject: Subject) -> int:
    """Return the memory of the processes that hold the streams."""
    return machine.resident_bytes(
        subject.server_pids if isinstance(subject, Build) else subject.pids
    )
