"""`make run` as a newcomer uses it: it comes up, works, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.processes.embedded_database import is_locked, server_pid
from tests.processes.making import STOP_SECONDS, is_ready, kept, nothing_is_left
from tests.processes.service import ROOT, Process
from tests.system import is_running
from tests.waiting import eventually


def items(url: str, token: str) -> list[str]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{url}/api/items", headers=headers).raise_for_status()
    return [item["part_number"] for item in answer.json()["items"]]


def test_it_runs_shows_itself_and_runs_again(
    make: Callable[..., Process], var: Path, port: int
) -> None:
    url = f"http://127.0.0.1:{port}"
    first = make("run")
    first.line("kill $stream", within=60)
    assert is_ready(url)
    assert (var / "welcome").stat().st_mode & 0o777 == 0o600
    token = (var / "demo-token").read_text().strip()
    assert "DIN 912/M5" in items(url, token)
    for name in ("demo-token", "admin-password"):
        assert (var / name).stat().st_mode & 0o777 == 0o600
    password = (var / "admin-password").read_text().strip()
    assert f"as admin with the password {password} " in first.output
    assert may_administrate(url, password)
    watch_it_work(first.output)

    os.killpg(first.pid, signal.SIGINT)
    first.wait(within=STOP_SECONDS)
    nothing_is_left(var)

    second = make("run")
    second.line("kill $stream", within=60)
    assert is_ready(url)
    assert (var / "demo-token").read_text().strip() == token
    assert items(url, token)
    assert f"as admin with the password {password} " in second.output
    second.signal(signal.SIGTERM)
    second.wait(within=STOP_SECONDS)
    nothing_is_left(var)


def may_administrate(url: str, password: str) -> bool:
    with httpx.Client(base_url=url) as browser:
        browser.get("/admin/login/")
        form = {
            "username": "admin",
            "password": password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            "next": "/admin/",
        }
        browser.post("/admin/login/", data=form, headers={"Referer": f"{url}/admin/login/"})
        return browser.get("/admin/").status_code == 200


def watch_it_work(output: str) -> None:
    """Type the three lines that it prints into two shells."""
    watch, acquire, kill = re.findall(r"^  ((?:curl|auth=|kill) ?.*)$", output, re.MULTILINE)
    shells = [
        subprocess.Popen(
            ["sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        for _ in range(2)
    ]
    one, other = shells
    try:
        type_line(one, watch)
        read_until(one, "event: stream-open")
        type_line(other, acquire)
        read_until(other, "event: stream-open")
        read_until(one, "event: edit.session_acquired")
        type_line(other, kill)
        read_until(one, "event: edit.session_released")
        assert '"reason":"disconnected"' in read_until(one, "data:")
    finally:
        for shell in shells:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.communicate()


def type_line(shell: subprocess.Popen[str], line: str) -> None:
    assert shell.stdin is not None
    shell.stdin.write(line + "\n")


def read_until(shell: subprocess.Popen[str], wanted: str) -> str:
    assert shell.stdout is not None
    return next(line for line in shell.stdout if wanted in line)


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@SIGNALS
@pytest.mark.parametrize(
    "moment",
    [
        lambda make, var: make.line("Preparing the database"),
        lambda make, var: eventually(lambda: is_locked(var), "the database starts"),
    ],
    ids=["before the database", "while it starts"],
)
def test_an_end_before_there_are_data_leaves_nothing(
    make: Callable[..., Process],
    var: Path,
    number: signal.Signals,
    moment: Callable[[Process, Path], object],
) -> None:
    (var / "postgres.start.lock").touch(0o600)
    ends_at(moment, make("run"), var, number)


@SIGNALS
@pytest.mark.parametrize(
    "moment",
    [
        lambda make, var: eventually((var / "welcome").exists, "the demo is made", within=60),
        lambda make, var: make.line("sweeper started", within=60),
    ],
    ids=["before the services", "while they start"],
)
def test_an_end_at_a_bad_moment_leaves_nothing(
    make: Callable[..., Process],
    migrated_var: Path,
    number: signal.Signals,
    moment: Callable[[Process, Path], object],
) -> None:
    ends_at(moment, make("run"), migrated_var, number)


def ends_at(
    moment: Callable[[Process, Path], object], run: Process, var: Path, number: signal.Signals
) -> None:
    moment(run, var)
    if number == signal.SIGTERM:
        run.signal(number)  # as from `kill`
    else:
        os.killpg(run.pid, number)  # as from a terminal
    run.wait(within=STOP_SECONDS)
    nothing_is_left(var)


def test_when_one_service_ends_all_end(
    make: Callable[..., Process], migrated_var: Path, port: int
) -> None:
    run = make("run")
    eventually(lambda: is_ready(f"http://127.0.0.1:{port}"), run.output, within=60)
    # Whether it has begun, its server's readiness does not say.
    sweeper = re.search(r"\(pid=(\d+)\)", run.line("sweeper started", within=60))
    assert sweeper
    os.kill(int(sweeper[1]), signal.SIGKILL)
    assert run.wait(within=STOP_SECONDS) != 0
    nothing_is_left(migrated_var)


def test_a_busy_port_is_told_before_anything_is_done(
    make: Callable[..., Process], var: Path, port: int
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        run = make("run")
        assert run.wait() != 0
    assert run.lines[0] == (
        f"Port {port} of 127.0.0.1 is in use: choose another one, as in: make run PORT=8001"
    )
    assert not list(var.iterdir())


def test_what_make_is_told_counts_as_the_environment_does(
    make: Callable[..., Process], port: int
) -> None:
    run = make("run", "PORT=no-port")
    assert run.wait() != 0
    assert run.lines[0] == "PORT=no-port is not a port: choose a number from 1 to 65535."


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"DATABASE_URL": "postgresql://somewhere/silo"}, "SILO_SECRET_KEY"),
        ({"SILO_CONFIG": "/not/there.yaml"}, "SILO_CONFIG names /not/there.yaml"),
        ({"SILO_SWEEP_SECONDS": "often"}, "sweep_seconds"),
        (
            {"DATABASE_URL": "postgresql://127.0.0.1:1/silo", "SILO_SECRET_KEY": "k" * 40},
            "Connection refused",
        ),
    ],
)
def test_a_bad_configuration_is_told_without_a_traceback(
    make: Callable[..., Process], env: dict[str, str], sentence: str
) -> None:
    run = make("run", **env)
    assert run.wait() != 0
    assert run.lines[1].startswith("manage.py: ")
    assert sentence in run.lines[1]
    assert "Traceback" not in run.output


def test_a_python_that_is_too_old_is_told(make: Callable[..., Process], tmp_path: Path) -> None:
    old = tmp_path / "python3"
    code = 'import sys; sys.version_info = (3, 9, 2, "final", 0); exec(sys.argv[2])'
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}' \"$@\"\n")
    old.chmod(0o755)
    run = make("run", PYTHON=str(old))
    assert run.wait() != 0
    assert run.lines[0].startswith(f"Python 3.11 or newer is needed, and {old} is 3.9: ")


def test_no_python_at_all_is_told(make: Callable[..., Process]) -> None:
    run = make("run", PYTHON="no-such-python")
    assert run.wait() != 0
    assert run.lines[0].startswith("There is no no-such-python: install Python 3.11 or newer")


def test_a_command_that_is_ended_stops_its_database(migrated_var: Path) -> None:
    env = kept() | {"SILO_VAR": str(migrated_var)}
    shell = Process(
        sys.executable,
        "manage.py",
        "shell",
        "--no-imports",
        "-c",
        "import time; from django.db import connection; connection.ensure_connection();"
        " print('connected', flush=True); time.sleep(60)",
        env=env,
    )
    try:
        shell.line("connected", within=60)
        pid = server_pid(migrated_var)
        shell.signal(signal.SIGTERM)
        assert shell.wait() == 128 + signal.SIGTERM
        assert not is_running(pid)
    finally:
        shell.close()
