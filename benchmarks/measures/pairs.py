"""Pairs of acquire and release a second, and what one costs the servers."""

from benchmarks import machine
from benchmarks.apart import Apart
from benchmarks.build import Build
from benchmarks.load import Client, Hammer, Rate
from benchmarks.sizes import Size
from benchmarks.subject import Subject

CLIENTS = (32, 8, 1)
WARMING_SECONDS = 0.3


def take(subject: Subject, size: Size) -> dict[str, float]:
    figures: dict[str, float] = {}
    hammer = Apart(Hammer)
    try:
        for clients in CLIENTS:
            if not (client := subject.pairs(clients)):
                return {}
            hammer.call("run", client, clients, WARMING_SECONDS)
            before, of_database = machine.cpu_seconds(subject.pids), database_cpu(subject)
            rate: Rate = hammer.call("run", client, clients, size.seconds)
            figures[f"pairs_{clients}"] = rate.per_second
            used = machine.cpu_seconds(subject.pids) - before
            figures[f"cpu_{clients}"] = used / rate.count * 1e3
            if clients == CLIENTS[0] and isinstance(subject, Build):
                share = database_cpu(subject) - of_database
                figures["cpu_32_database"] = share / rate.count * 1e3
    finally:
        hammer.close()
    return figures


def take_workers(subject: Subject, size: Size) -> dict[str, float]:
    if not (client := subject.pairs(CLIENTS[0])):
        return {}
    rate, cpu_seconds = hammered(subject, client, CLIENTS[0], size.seconds)
    return {"workers": rate.per_second, "workers_cpu": cpu_seconds * 1e3}


def database_cpu(subject: Subject) -> float:
    """Return the processor time of a build's PostgreSQL; 0 of other subjects."""
    return machine.cpu_seconds(subject.database_pids) if isinstance(subject, Build) else 0.0


def hammered(subject: Subject, client: Client, clients: int, seconds: float) -> tuple[Rate, float]:
    """Return how often clients did something, and the servers' CPU seconds for one."""
    hammer = Apart(Hammer)
    try:
        hammer.call("run", client, clients, WARMING_SECONDS)
        before = machine.cpu_seconds(subject.pids)
        rate: Rate = hammer.call("run", client, clients, seconds)
    finally:
        hammer.close()
    return rate, (machine.cpu_seconds(subject.pids) - before) / rate.count
