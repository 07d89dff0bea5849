"""The units of deploy/systemd under systemd, installed and used by the lines of docs/operations.md."""

import json
import re
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks_of
from tests.faults import machine as machines
from tests.waiting import eventually

PAGE = ROOT / "docs/operations.md"
ENVIRONMENT = """
DATABASE_URL=postgresql://silo:password@127.0.0.1:5432/silo
SILO_SECRET_KEY=at-least-32-characters-from-a-random-source
SILO_CONFIG=/etc/silo/silo.yaml
"""
CONFIGURATION = "server:\n  allowed_hosts: [silo.example.com]\n"
SERVERS = ("silo-serve@8001", "silo-serve@8002")
UNITS = (*SERVERS, "silo-sweeper")
SWEEPERS = (
    *("psql", "-h", "127.0.0.1", "-U", "silo", "-XqtA", "-c"),
    "SELECT count(*) FROM sessions_app_sweeperprocess",
)
POSTGRES = """
install -d -o postgres /var/lib/silo-postgres
runuser -u postgres -- {programs}/initdb -D /var/lib/silo-postgres --auth=trust >/dev/null
systemd-run --unit=database --uid=postgres --property=Type=notify {programs}/postgres \
    -D /var/lib/silo-postgres -c unix_socket_directories= -c listen_addresses=127.0.0.1
psql -h 127.0.0.1 -U postgres -c 'CREATE ROLE silo LOGIN' -c 'CREATE DATABASE silo OWNER silo'
"""


@pytest.fixture
def machine(tmp_path):
    """A machine on which the project is installed, and PostgreSQL runs; the database is empty."""
    if reason := machines.why_not():
        pytest.skip(reason)
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        pytest.skip("needs Debian's PostgreSQL")
    files, own = tmp_path / "files", tmp_path / "machine"
    own.mkdir()
    machines.install(files)
    (files / "etc/silo").mkdir(parents=True)
    (files / "etc/silo/environment").write_text(ENVIRONMENT)
    (files / "etc/silo/silo.yaml").write_text(CONFIGURATION)
    for path in (files / "etc/silo").iterdir():
        path.chmod(0o640)
    try:
        with machines.Machine(own, files) as machine:
            machine.type(POSTGRES.format(programs=programs[-1].parent))
            yield machine
    except machines.CannotBoot as error:
        pytest.skip(f"no systemd can be started here: {error}")


def block_with(text):
    [block] = [one for one in blocks_of(PAGE) if text in one.code]
    return block.code


def shown(machine, unit, *names):
    printed = machine.must("systemctl", "show", unit, *(f"--property={name}" for name in names))
    values = dict(line.split("=", 1) for line in printed.splitlines())
    return tuple(values[name] for name in names)


def is_ready(machine, unit):
    port = unit.partition("@")[2]
    address = ("--header", "Host: silo.example.com", f"http://127.0.0.1:{port}/ready")
    answer = machine.run("curl", "--silent", "--max-time", "2", *address)
    return answer.returncode == 0 and json.loads(answer.stdout).get("status") == "ready"


def test_the_units_do_under_systemd_what_the_page_says(machine):
    # Before the database is migrated a server ends, and is not started again and again.
    installation = block_with("systemctl enable --now")
    migration, units, start = re.fullmatch(
        r"(?s)(systemd-run .*?migrate\n)(install .*?daemon-reload\n)(systemctl enable .*)",
        installation,
    ).groups()
    machine.type(units)
    machine.must("systemctl", "start", SERVERS[0])
    ended = ("failed", "78", "0")
    state = ("ActiveState", "ExecMainStatus", "NRestarts")
    eventually(lambda: shown(machine, SERVERS[0], *state) == ended, "ended with 78")
    journal = machine.must("journalctl", "--unit", SERVERS[0], "--output=cat")
    assert "The database has no tables yet: run `manage.py migrate`." in journal

    machine.type(migration)
    machine.type(start)
    for unit in SERVERS:
        eventually(lambda unit=unit: is_ready(machine, unit), f"{unit} is ready")
    for unit in UNITS:
        assert shown(machine, unit, "ActiveState", "NRestarts") == ("active", "0")
        [pid] = shown(machine, unit, "MainPID")
        status = machine.must("cat", f"/proc/{pid}/status")
        assert re.search(r"(?m)^Uid:\t[1-9]", status)
        for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
            assert f"\n{line}\n" in status
    [slice_] = shown(machine, SERVERS[0], "Slice")
    assert f"journalmatch = _SYSTEMD_SLICE={slice_}\n" in PAGE.read_text()

    # A killed one comes back, and an upgrade restarts all of them in order.
    machine.must("systemctl", "kill", "--signal=KILL", "--kill-whom=main", SERVERS[0])
    eventually(lambda: shown(machine, SERVERS[0], "NRestarts") == ("1",), "it is started again")
    machine.type(block_with("systemctl restart silo-serve@$port").replace("sleep 10", "true"))
    assert all(is_ready(machine, unit) for unit in SERVERS)
    assert machine.must(*SWEEPERS).strip() == "1", "systemd waits until it is there"
    doctor = block_with("manage.py doctor").split(" --url ")[0]
    found = machine.run("bash", "-c", doctor).stdout
    assert "ok       sweepers" in found
    assert "ok       servers" in found

    # Workers by the drop-in: their metrics are shown, and they stop with the process that watches them.
    folder = f"/etc/systemd/system/{SERVERS[0]}.service.d"
    machine.must("install", "-D", "-t", folder, "/opt/silo/deploy/systemd/workers.conf")
    machine.must("systemctl", "daemon-reload")
    machine.must("systemctl", "restart", SERVERS[0])
    eventually(lambda: is_ready(machine, SERVERS[0]), "workers are ready")
    metrics = ("curl", "--silent", "http://127.0.0.1:9102/metrics")
    eventually(lambda: "silo_ready 1.0" in machine.run(*metrics).stdout, "metrics of a worker")

    machine.must("systemctl", "stop", "silo-serve@*", "silo-sweeper")
    for unit in UNITS:
        stopped = shown(machine, unit, "ActiveState", "Result", "ExecMainStatus")
        assert stopped == ("inactive", "success", "0")
    # Nothing that the units take from it was wanted.
    wrong = "--grep=not permitted|Traceback|CRITICAL"
    assert "No entries" in machine.run("journalctl", "--unit=silo-*", wrong).stdout
