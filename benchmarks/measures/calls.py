"""`alive` and batches: other calls that clients make often."""

from functools import partial

from benchmarks.build import Build
from benchmarks.calls import batch_client
from benchmarks.measures.pairs import hammered
from benchmarks.peers.postgres import RawTable, set_client
from benchmarks.sizes import Size
from benchmarks.subject import Subject

ALIVE_CLIENTS = 32
BATCH_CLIENTS = 4
BATCH = 200


def take_alive(subject: Subject, size: Size) -> dict[str, float]:
    if not (client := subject.alive()):
        return {}
    rate, _ = hammered(subject, client, ALIVE_CLIENTS, size.seconds)
    return {"alive": rate.per_second}


def take_batch(subject: Subject, size: Size) -> dict[str, float]:
    if isinstance(subject, RawTable):
        client = partial(set_client, subject.where, BATCH)
    elif isinstance(subject, Build):
        parts = [subject.seed("items", BATCH) for _ in range(BATCH_CLIENTS)]
        crew = subject.crew.workstations
        client = partial(batch_client, subject.ports, subject.tokens, parts, crew)
    else:
        return {}
    rate, cpu_seconds = hammered(subject, client, BATCH_CLIENTS, size.seconds)
    return {"batch": rate.per_second, "batch_cpu": cpu_seconds * 1e3}
