"""Sixteen clients do at random all that can be done, against two servers and a sweeper; the history is checked.

No server fails here: what is promised without a fault is promised all the time. But clients come, go, cut requests
short, and are killed. `SILO_TEST_SECONDS` says how long (60), `SILO_TEST_SEED` repeats what the clients decide.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.traffic_calendar import (
    HEARTBEAT_SECONDS,
    TIMEOUT_SECONDS,
    TIMINGS,
    Calendar,
    Faults,
)
from tests.faults.traffic_crowd import Crowd
from tests.faults.traffic_history import (
    certain_turns,
    clock_offset,
    counts_of,
    dump,
    read_history,
    settle,
)
from tests.faults.traffic_troubles import Servers
from tests.history import Limits
from tests.history_checker import check
from tests.processes.service import Sweeper

SECONDS = float(os.environ.get("SILO_TEST_SECONDS", "60"))
STEADY, RESTLESS = 6, 10

# Few, so that they collide.
PARTS = ("DIN 912/M5 größe", "A01-0001", "A01-0002")

IDLE_SECONDS = 6.0
LATE_SECONDS = 5.0
SLOW = TIMINGS | {
    # No server dies, however busy this machine is.
    "SILO_SERVER_DEAD_SECONDS": "10",
    "SILO_IDLE_TIMEOUT_MINUTES": str(IDLE_SECONDS / 60),
}
LIMITS = Limits(
    timeout=TIMEOUT_SECONDS,
    idle=IDLE_SECONDS,
    idle_step=HEARTBEAT_SECONDS,
    prompt=LATE_SECONDS,
    lateness=LATE_SECONDS,
    settle=TIMEOUT_SECONDS + 8,
)

pytestmark = [pytest.mark.timeout(SECONDS + 180), pytest.mark.usefixtures("committed_db")]


def test_sixteen_clients_leave_a_true_history(tmp_path: Path, capsys: Any) -> None:
    offset, faults = clock_offset(), Faults()
    addresses = tmp_path / "addresses.json"
    with ExitStack() as stack:
        servers = Servers(2, addresses, faults, SLOW)
        stack.callback(servers.close)
        sweeper = Sweeper(**SLOW)
        stack.callback(sweeper.close)
        crowd = Crowd(tmp_path, addresses, faults, parts=PARTS, steady=STEADY, restless=RESTLESS)
        stack.callback(crowd.close)
        crowd.trouble(Calendar(SECONDS))
        crowd.leave()
        settle(crowd, LIMITS)
        crowd.close()
        history = read_history(crowd, faults, offset, LIMITS)
    violations = check(history)
    with capsys.disabled():
        print(f"\n{counts_of(history, faults, len(violations), SECONDS)}")
    if violations or servers.failures:
        print(f"The history is in {dump(history, servers, tmp_path)}")
    assert not violations, "\n".join(map(str, violations[:20]))
    assert not servers.failures
    # It would prove nothing without these.
    assert certain_turns(history)
    assert history.granted
    assert history.answered("batch", 200)
    assert history.answered("handoff", 200)
