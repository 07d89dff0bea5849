"""Random traffic with random faults, recorded, and the history checked: `pytest tests/faults`.

`SILO_TEST_SECONDS` says how long (120), `SILO_TEST_SEED` repeats what a run decided, not how its processes raced.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.traffic_calendar import (
    SECONDS,
    SEED,
    TIMINGS,
    Calendar,
    Faults,
)
from tests.faults.traffic_crowd import Crowd
from tests.faults.traffic_history import clock_offset, counts_of, dump, read_history, settle
from tests.faults.traffic_troubles import (
    Servers,
    backend,
    close_all,
    trouble_of_database,
    trouble_of_sweeper,
)
from tests.history_checker import check
from tests.processes.service import Sweeper

pytestmark = [pytest.mark.timeout(SECONDS + 180), pytest.mark.usefixtures("committed_db")]


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
