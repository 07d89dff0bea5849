"""Very many holders killed at once: how long until the last event is out."""

import time

from benchmarks.apart import Apart
from benchmarks.build import Build
from benchmarks.load import Streams
from benchmarks.peers.postgres import RawTable
from benchmarks.sizes import Size
from benchmarks.subject import Subject

TELLING_SECONDS = 300.0


def take(subject: Subject, size: Size) -> dict[str, float]:
    few, many = size.killed
    if isinstance(subject, RawTable):
        return {"killed_few": subject.end_set(few), "killed_many": subject.end_set(many)}
    if not isinstance(subject, Build):
        return {}
    return {
        "killed_few": until_told(subject, few, few),
        "killed_many": until_told(subject, many, many),
        "killed_one_item": until_told(subject, few, 1),
    }


def until_told(build: Build, count: int, items: int) -> float:
    """Have so many workstations hold a session each, on so many items; kill their process.

    Returns:
        The seconds until a watcher has the last event.
    """
    holders, watcher = Apart(Streams), Apart(Streams)
    try:
        workstations = build.workstations(count)
        build.seed("sessions", workstations, build.seed("items", items))
        holders.call("open", build.registered(workstations))
        watcher.call("open", build.watching(1))
        at = time.monotonic()
        holders.kill()
        told: float = watcher.call("until", count, TELLING_SECONDS)
    finally:
        holders.close()
        watcher.close()
    build.settle()
    return told - at
