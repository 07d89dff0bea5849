"""Random traffic with random faults, recorded, and the history checked: `pytest tests/faults`.

`SILO_TEST_SECONDS` says how long (120), `SILO_TEST_SEED` repeats what a run decided, not how its processes raced.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from events_app.models import LogEntry
from sessions_app.models import EditSession
from tests.faults.traffic_calendar import (
    AFTERMATH_SECONDS,
    LIMITS,
    SECONDS,
    SEED,
    TIMINGS,
    Calendar,
    Faults,
)
from tests.faults.traffic_crowd import Actor, Crowd
from tests.faults.traffic_history import clock_offset, counts_of, read_history
from tests.faults.traffic_troubles import (
    Servers,
    backend,
    close_all,
    trouble_of_database,
    trouble_of_sweeper,
)
from tests.history import History
from tests.history_checker import check
from tests.processes.service import Sweeper

pytestmark = [pytest.mark.timeout(SECONDS + 180), pytest.mark.usefixtures("committed_db")]


def settle(crowd: Crowd) -> None:
    """Wait until nothing is held and the watchers have heard of it, or for as long as it may take."""
    deadline = time.monotonic() + AFTERMATH_SECONDS + LIMITS.settle + 1
    while EditSession.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    last = str(LogEntry.objects.order_by("id").values_list("id", flat=True).last())
    deadline = time.monotonic() + LIMITS.patience + 1

    def heard(actor: Actor) -> bool:
        return actor.lives[-1].position.endswith(f"-{last}")

    while not all(map(heard, crowd.watchers)) and time.monotonic() < deadline:
        time.sleep(0.2)


def dump(history: History, servers: Servers, folder: Path) -> Path:
    """Write down everything for who looks for the cause."""
    path = folder / "history.json"
    path.write_text(json.dumps(asdict(history), default=sorted, indent=1))
    for number, server in enumerate(servers.logs):
        (folder / f"server-{number}.log").write_text(server.output)
    return path


def test_random_traffic_with_random_faults_leaves_a_true_history(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    offset, own = clock_offset(), backend()
    faults = Faults()
    addresses = tmp_path / "addresses.json"
    with ExitStack() as stack:
        servers = Servers(2, addresses, faults)
        stack.callback(servers.close)
        sweepers = [Sweeper(**TIMINGS)]
        stack.callback(lambda: close_all(sweepers))
        crowd = Crowd(tmp_path, addresses, faults)
        stack.callback(crowd.close)
        calendar = Calendar()
        troubles: list[Callable[[], None]] = [
            lambda: servers.trouble(0, calendar),
            lambda: servers.trouble(1, calendar),
            lambda: trouble_of_database(calendar, faults, own),
            lambda: trouble_of_sweeper(calendar, faults, sweepers),
        ]
        threads = [threading.Thread(target=trouble) for trouble in troubles]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(calendar.end)
        crowd.trouble(calendar)
        for thread in threads:
            thread.join()
        crowd.leave()
        settle(crowd)
        crowd.close()
        history = read_history(crowd, faults, offset)
    violations = check(history)
    print(counts_of(history, faults, len(violations)))
    if violations or servers.failures:
        print(f"The history is in {dump(history, servers, tmp_path)}")
    assert not violations, "\n".join(map(str, violations[:20]))
    assert not servers.failures
