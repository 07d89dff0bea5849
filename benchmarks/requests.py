"""Requests and departures: `python -m benchmarks.requests` on a database of its own choice (DATABASE_URL).

Prints how many pairs of acquire and release one server answers per second, as a ratio to its empty view in the same
run, and how long it takes from the death of a client until a watcher is told, as a ratio to an acquire.
"""

import logging
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

import httpx
from django.contrib.auth.models import Group

from silo_client import Api, Wanted
from tests.factories import make_item, make_token, make_user
from tests.processes.service import Client, Serve

CLIENTS = 8
PAIRS = 40
DEATHS = 20


def main() -> None:
    """Run it and print what was measured."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    Group.objects.get_or_create(name="editor")
    name = f"bench-{time.time_ns()}"
    token = make_token(make_user(name))
    parts = [make_item(f"{name}-{number}").part_number for number in range(CLIENTS)]
    server = Serve(SILO_HEARTBEAT_SECONDS="30", SILO_SESSION_TIMEOUT_MINUTES="15").ready()
    try:
        measure_requests(server, token, parts)
        measure_departures(Client(server, token), parts[0])
    finally:
        server.close()


def measure_requests(server: Serve, token: str, parts: list[str]) -> None:
    """Pairs of acquire and release of several clients, each on an item and a workstation of its own."""
    client = Client(server, token)
    workstations = {part: client.workstation(part) for part in parts}

    def pairs(part: str) -> None:
        with closing(Api(server.url, token)) as api:
            for _round in range(PAIRS):
                session = api.acquire(Wanted(part, "sketch"), workstations[part], None)
                api.release(part, session["id"])

    def empty(_: str) -> None:
        with httpx.Client(base_url=server.url) as client:
            for _round in range(2 * PAIRS):
                client.get("/health").raise_for_status()

    requests = 2 * PAIRS * CLIENTS
    edits, nothing = requests / together(pairs, parts), requests / together(empty, parts)
    print(
        f"{edits / 2:.0f} pairs of acquire and release per second with {CLIENTS} clients; a request of "
        f"them costs {nothing / edits:.1f} times an empty one ({nothing:.0f} per second)"
    )


def together(work: Callable[[str], None], parts: list[str]) -> float:
    """Do it for every part at once; return the seconds it took."""
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(work, parts))
    return time.monotonic() - begun


def measure_departures(client: Client, part: str) -> None:
    """From SIGKILL of a client's process to the line that its watcher reads."""
    watching = client.stream(item=part)
    workstation = client.workstation()
    told, acquired = [], []
    for _ in range(DEATHS):
        stream = client.stream(workstation_id=workstation)
        begun = time.monotonic()
        session = client.acquire(part, workstation).json()
        acquired.append(time.monotonic() - begun)
        begun = time.monotonic()
        stream.kill()
        while not any(
            event["data"]["session_id"] == session["id"]
            for event in watching.named("edit.session_released")
        ):
            pass
        told.append(time.monotonic() - begun)
    watching.close()
    median = statistics.median(told)
    print(
        f"a client killed until its watcher is told: median {median * 1000:.0f} ms, worst "
        f"{max(told) * 1000:.0f} ms of {DEATHS}; {median / statistics.median(acquired):.1f} times an acquire"
    )


if __name__ == "__main__":
    main()
