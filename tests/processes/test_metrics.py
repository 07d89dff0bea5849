"""`serve --metrics` and `runsweeper --metrics` as processes."""

import httpx
import pytest
from django.db import connection

from tests.processes.service import Serve
from tests.waiting import eventually

METRICS = ("--metrics", "127.0.0.1:0")


class ShowingServe(Serve):
    """A server that shows its metrics."""

    def start_command(self, *command):
        return [*command, *METRICS]


@pytest.fixture
def showing(processes):
    server = ShowingServe()
    processes.callback(server.close)
    return server.ready()


def kill_relays():
    """The connections by which the relays listen end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE '%relay'"
        )
        assert cursor.fetchall()


def scraped(process):
    address = process.line("metrics are shown").rpartition("address=")[2].strip()
    return httpx.get(f"http://{address}/metrics").text.splitlines()


def test_a_server_shows_what_happens_in_it(showing, client_of, part):
    ada = client_of(showing)
    watching = ada.stream(all="true")
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    assert ada.acquire(part, workstation).status_code == 200
    watching.event("edit.session_acquired")
    lines = eventually(lambda: "silo_events_total 0.0" not in (found := scraped(showing)) and found)
    assert 'silo_streams{kind="workstation"} 1.0' in lines
    assert 'silo_streams{kind="watching"} 1.0' in lines
    assert 'silo_request_seconds_count{operation="acquire"} 1.0' in lines
    assert "silo_ready 1.0" in lines
    assert "silo_servers 1.0" in lines
    assert 'silo_sessions{level="sketch",lock="item"} 1.0' in lines
    assert "silo_relay_connected 1.0" in lines
    assert "silo_pool_connections 0.0" not in lines
    showing.line("server started")
    kill_relays()
    showing.line("relay lost the database")
    eventually(lambda: 'silo_log_lines_total{level="WARNING"} 1.0' in scraped(showing))
    assert "silo_database_errors_total 1.0" in scraped(showing)
    # Nothing of it is on the port of the service.
    assert httpx.get(f"{showing.url}/metrics").status_code == 404


def test_a_sweeper_shows_its_sweeps(runsweeper, committed_db):
    sweeper = runsweeper(*METRICS)
    eventually(lambda: "silo_sweeps_total 0.0" not in (found := scraped(sweeper)) and found)
    assert 'silo_sweep_ended_total{kind="expired"} 0.0' in scraped(sweeper)
