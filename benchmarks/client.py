"""The client: `python -m benchmarks.client` on a database of its own choice (DATABASE_URL).

Prints how long it takes to connect; a block that edits, as a ratio to the two requests that it needs; a batch; a look
at `valid`, as a ratio to an empty function; from the death of a program to the line that a watcher reads; the helper's
memory.
"""

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.contrib.auth.models import Group

from silo_client import Wanted, Workstation
from tests.factories import make_item, make_token, make_user
from tests.processes.client.client_processes import ClientProgram
from tests.processes.service import Client, Serve

CONNECTIONS = 10
PAIRS = 100
LOOKS = 200_000
BATCH = 1_000
DEATHS = 20


def main() -> None:
    """Run it and print what was measured."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    Group.objects.get_or_create(name="editor")
    name = f"bench-{time.time_ns()}"
    client_token = make_token(make_user(name))
    parts = [make_item(f"{name}-{number}").part_number for number in range(BATCH)]
    server = Serve(SILO_HEARTBEAT_SECONDS="30", SILO_SESSION_TIMEOUT_MINUTES="15").ready()
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SILO_STATE"] = folder
            client = Client(server, client_token)
            measure_connecting(client)
            with Workstation.connect(server.url, client_token, program="bench") as workstation:
                measure_editing(workstation, parts[0])
                measure_batch(workstation, parts)
                memory = Path(f"/proc/{workstation.helper_pid}/status").read_text()
            print(
                next(line for line in memory.splitlines() if line.startswith("VmRSS")), "(helper)"
            )
            measure_deaths(client, parts[0])
    finally:
        server.close()


def timed(work: Callable[[], object], times: int) -> list[float]:
    """Do it so often; return the seconds of each."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return taken


def measure_connecting(client: Client) -> None:
    """From nothing to an open stream, the helper's start included."""
    connected = []

    def connect() -> None:
        connected.append(Workstation.connect(client.server.url, client.token, program="bench"))

    opened = statistics.median(timed(connect, CONNECTIONS))
    closed = statistics.median(timed(lambda: connected.pop().close(), CONNECTIONS))
    print(f"connect {opened * 1000:.0f} ms, close {closed * 1000:.0f} ms")


def measure_editing(workstation: Workstation, part: str) -> None:
    """A block, beside the two requests in it; a look at `valid`, beside nothing."""

    def block() -> None:
        with workstation.edit(part, level="sketch"):
            pass

    def requests() -> None:
        told = workstation.api.acquire(Wanted(part, "sketch"), workstation.id, None)
        workstation.api.release(part, told["session_id"])

    for _ in range(10):
        block()
    ours = statistics.median(timed(block, PAIRS))
    bare = statistics.median(timed(requests, PAIRS))
    print(f"a block that edits {ours * 1000:.1f} ms, {ours / bare:.2f} times its two requests")
    with workstation.edit(part, level="sketch") as session:
        begun = time.perf_counter()
        for _ in range(LOOKS):
            assert session.valid
        look = (time.perf_counter() - begun) / LOOKS
        begun = time.perf_counter()
        for _ in range(LOOKS):
            _nothing()
        nothing = (time.perf_counter() - begun) / LOOKS
    print(f"a look at valid {look * 1e6:.1f} us, {look / nothing:.0f} times an empty function")


def _nothing() -> None:
    pass


def measure_batch(workstation: Workstation, parts: list[str]) -> None:
    """A large assembly."""
    begun = time.perf_counter()
    sessions = workstation.edit_all([Wanted(part, "assembly") for part in parts])
    acquired = time.perf_counter() - begun
    begun = time.perf_counter()
    with sessions:
        pass
    released = time.perf_counter() - begun
    print(f"a batch of {len(parts)}: {acquired:.2f} s, released {released:.2f} s")


def measure_deaths(client: Client, part: str) -> None:
    """From SIGKILL of a program, whose helper notices, to the line that a watcher reads."""
    watching = client.stream(item=part)
    told = []
    for _ in range(DEATHS):
        program = ClientProgram(client.server.url, client.token)
        session = program.edit(part)
        begun = time.perf_counter()
        program.kill()
        while not any(
            event["data"]["session_id"] == session["session_id"]
            for event in watching.named("edit.session_released")
        ):
            pass
        told.append(time.perf_counter() - begun)
        program.close()
    watching.close()
    print(
        f"a program killed until a watcher is told: median {statistics.median(told) * 1000:.0f} ms,"
        f" worst {max(told) * 1000:.0f} ms of {DEATHS}"
    )


if __name__ == "__main__":
    main()
