"""Events at a fixed rate to many watchers: what a delivery costs, and how late it is."""

from benchmarks import machine
from benchmarks.apart import Apart
from benchmarks.load import Publisher, Streams
from benchmarks.sizes import Size
from benchmarks.subject import Subject

EVERY_SECONDS = 0.2
TELLING_SECONDS = 120.0
DELIVERIES = 100_000


def take(subject: Subject, size: Size) -> dict[str, float]:
    if not (feed := subject.feed(size.watchers, size.events)):
        return {}
    watchers, publisher = Apart(Streams), Apart(Publisher)
    try:
        watchers.call("open", feed.watchers)
        before = machine.cpu_seconds(subject.pids)
        sent = publisher.call("run", feed.port, feed.requests, EVERY_SECONDS)
        deliveries = size.watchers * size.events
        watchers.call("until", deliveries, TELLING_SECONDS)
        used = machine.cpu_seconds(subject.pids) - before
        times = watchers.call("times")
        watchers.call("close")
    finally:
        watchers.close()
        publisher.close()
    subject.settle()
    late = sorted(came - at for of_one in times for came, at in zip(of_one, sent, strict=True))
    return {
        "fan_cpu": used / deliveries * DELIVERIES,
        "fan_p50": late[len(late) // 2] * 1e3,
        "fan_p99": late[int(len(late) * 0.99)] * 1e3,
    }
