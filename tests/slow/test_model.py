"""The server against a plain model of it, in any order of all that can happen: `make test-slow`.

`SILO_TEST_EXAMPLES` says how many orders are tried (150), `SILO_TEST_SEED` which ones; without it others each time. The
seed is printed, and of a failure the shortest order that shows it, with a line `@reproduce_failure` that repeats it.
"""

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.processes.service import Serve, Sweeper
from tests.slow import real_processes
from tests.slow.in_process import InProcess
from tests.slow.machine_base import ITEMS, ROLES
from tests.slow.machine_presence import Everything
from tests.slow.real_processes import RealProcesses

EXAMPLES = int(os.environ.get("SILO_TEST_EXAMPLES", "150"))
SEED = os.environ.get("SILO_TEST_SEED") or secrets.token_hex(4)
STEPS = 50
# A step waits for real processes.
REAL_STEPS = 30
# On a machine with other work to do fewer examples are tried, so that the whole stays within 20 minutes.
SECONDS, REAL_SECONDS = 360.0, 240.0
BATCH = 10
# Explaining a failure takes longer than finding it.
PHASES = (Phase.generate, Phase.shrink)


def settings_of(examples: int, steps: int) -> settings:
    """How both runs search."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        # Which each batch would then repeat; CI machines are derandomized otherwise.
        derandomize=False,
        # A step is a dozen requests; how long one takes says nothing.
        deadline=None,
        # They judge how fast examples are made, and these wait for a database.
        suppress_health_check=list(HealthCheck),
        # A failure is repeated by what it prints.
        database=None,
        print_blob=True,
        phases=PHASES,
    )


def report(name: str, counts: Counter[str], seconds: float) -> None:
    """Show that everything was reached."""
    steps = sum(n for what, n in counts.items() if what.startswith("did "))
    print(f"\n{name}: {counts['examples']} examples, {steps} steps, {seconds:.0f} s, seed {SEED}")
    for kind in ("did", "refused", "told", "ended"):
        some = sorted((what.partition(" ")[2], n) for what, n in counts.items())
        some = [(what, n) for what, n in some if f"{kind} {what}" in counts]
        print(f"  {kind}: " + ", ".join(f"{what} {n}" for what, n in some))


@pytest.mark.timeout(1200)
def test_in_process(quickly_committed_db: None, settings: Any, capsys: Any) -> None:
    """Thousands of steps of the API, the presence and the sweeper, one after the other."""
    settings.EVENTS_SERVER_DEAD_SECONDS = InProcess.server_dead
    # The driver sets it for each example; this takes it back.
    settings.EVENTS_DISCONNECT_GRACE = timedelta(0)

    class Run(Everything):
        driver = InProcess(ROLES, ITEMS)
        counts = Counter()

    search("model, in process", Run, EXAMPLES, STEPS, SECONDS, capsys)


@pytest.mark.timeout(1200)
def test_real_processes(
    serve: Callable[..., Serve], runsweeper: Callable[..., Sweeper], settings: Any, capsys: Any
) -> None:
    """The same with two servers that are stopped and killed, a sweeper, and streams that get all that is for them."""
    # What does not change from one server to the next.
    settings.EVENTS_SERVER_DEAD_SECONDS = real_processes.SERVER_DEAD
    processes = RealProcesses(ROLES, ITEMS, serve)
    runsweeper(**real_processes.ENVIRONMENT)

    class Run(Everything):
        driver = processes
        counts = Counter()

    try:
        search(
            "model, real processes", Run, max(1, EXAMPLES // 4), REAL_STEPS, REAL_SECONDS, capsys
        )
    finally:
        processes.close()


def search(
    name: str, machine: type[Everything], examples: int, steps: int, seconds: float, capsys: Any
) -> None:
    """Look for an order of steps in which the server differs from the model, for not much longer than so long."""
    begun = time.monotonic()
    try:
        while machine.counts["examples"] < examples and time.monotonic() - begun < seconds:
            left = examples - machine.counts["examples"]
            seed(f"{SEED} {left}")(machine)
            run_state_machine_as_test(machine, settings=settings_of(min(left, BATCH), steps))
    finally:
        with capsys.disabled():
            report(name, machine.counts, time.monotonic() - begun)
