"""What happens to servers, database and sweeper under random traffic."""

import json
import random
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from django.db import connection

from tests.faults.traffic_calendar import LONGEST_STOP_SECONDS, SEED, TIMINGS, Calendar, Faults
from tests.faults.traffic_client import RACE_SECONDS
from tests.processes.service import Serve, Sweeper


class Servers:
    """Several `serve` processes, and the file in which clients find their addresses."""

    def __init__(
        self,
        count: int,
        addresses: Path,
        faults: Faults,
        timings: Mapping[str, str] = TIMINGS,
    ) -> None:
        self.logs: list[Serve] = []
        self._timings = timings
        self._addresses = addresses
        self._faults = faults
        self._lock = threading.Lock()
        self._urls = [""] * count
        self._running = [self._start() for _ in range(count)]
        for number, server in enumerate(self._running):
            self._publish(number, server)

    def trouble(self, number: int, calendar: Calendar) -> None:
        """Do to one server what happens to servers, until the traffic is over. It runs afterwards."""
        dice = random.Random(f"{SEED} server {number}")
        faults = [self._kill, self._stop, self._stop_and_kill, self._restart]
        while calendar.next_fault(dice.uniform(0.5, 5)):
            begin = time.monotonic()
            fault = dice.choices(faults, [4, 4, 1, 2])[0]
            fault(number, dice)
            self._faults.note(f"server{fault.__name__}", begin, number)

    def close(self) -> None:
        """End all of them."""
        for server in self.logs:
            server.close()

    @property
    def failures(self) -> list[str]:
        """What they logged that no fault excuses: they fail in words of their own, at WARNING."""
        lines = (line for server in self.logs for line in server.lines)
        return [line for line in lines if " ERROR " in line or " CRITICAL " in line]

    def _kill(self, number: int, dice: random.Random) -> None:
        self._running[number].kill()
        time.sleep(dice.uniform(0, 4))
        self._start_again(number)

    def _stop(self, number: int, dice: random.Random) -> None:
        self._running[number].signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, LONGEST_STOP_SECONDS))
        self._running[number].signal(signal.SIGCONT)

    def _stop_and_kill(self, number: int, dice: random.Random) -> None:
        self._running[number].signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, 3))
        self._kill(number, dice)

    def _restart(self, number: int, dice: random.Random) -> None:
        self._running[number].signal(signal.SIGTERM)
        self._running[number].wait()
        self._start_again(number)

    def _start_again(self, number: int) -> None:
        self._running[number] = self._start()
        self._publish(number, self._running[number])

    def _start(self) -> Serve:
        with self._lock:
            self.logs.append(server := Serve(**self._timings))
        return server

    def _publish(self, number: int, server: Serve) -> None:
        server.ready()
        with self._lock:
            self._urls[number] = server.url
            new = self._addresses.with_suffix(".new")
            new.write_text(json.dumps([url for url in self._urls if url]))
            new.replace(self._addresses)


CUT = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> ALL(%s) AND (application_name = 'silo relay') = %s
        ORDER BY state = 'idle', random() LIMIT %s
    ) AS victims
"""


def backend() -> int:
    """Return the process id of this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def trouble_of_database(calendar: Calendar, faults: Faults, spared: int) -> None:
    """Cut connections of the service to its database, the relays' and others."""
    dice = random.Random(f"{SEED} database")
    try:
        while calendar.next_fault(dice.uniform(1, 5)):
            # When clients race, connections are busy.
            time.sleep(-time.monotonic() % RACE_SECONDS + dice.uniform(0, 0.05))
            begin = time.monotonic()
            relays = dice.random() < 0.5
            with connection.cursor() as cursor:
                cursor.execute(CUT, [[spared, backend()], relays, dice.choice([1, 2])])
            faults.note("relay_cut" if relays else "connection_cut", begin)
    finally:
        connection.close()


def trouble_of_sweeper(calendar: Calendar, faults: Faults, sweepers: list[Sweeper]) -> None:
    """Kill the sweeper and start another."""
    dice = random.Random(f"{SEED} sweeper")
    while calendar.next_fault(dice.uniform(5, 20)):
        begin = time.monotonic()
        sweepers[-1].kill()
        time.sleep(dice.uniform(0, 3))
        sweepers.append(Sweeper(**TIMINGS))
        faults.note("sweeper_kill", begin)


def close_all(processes: list[Sweeper]) -> None:
    """End what runs."""
    for process in processes:
        process.close()
