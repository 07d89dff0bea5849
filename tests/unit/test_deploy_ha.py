"""The files of deploy/ha, as far as they can be read without starting them; tests/ha starts them."""

import configparser
import re
import shutil
import subprocess

import pytest
import yaml

from tests.documents import ROOT

FOLDER = ROOT / "deploy/ha"
PAGE = (ROOT / "docs/high-availability.md").read_text()
# What docs/high-availability.md promises.
MOST_SECONDS = 30
LEAST_TTL = 20
FILES = ("etcd.env", "haproxy.cfg", "patroni.env", "patroni.service", "patroni.yml")


def variables(name):
    lines = (FOLDER / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def dynamic():
    return yaml.safe_load((FOLDER / "patroni.yml").read_text())["bootstrap"]["dcs"]


def test_every_file_is_in_the_page():
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)
    assert all(f"(../deploy/ha/{name})" in PAGE for name in FILES)


def test_a_lost_primary_is_replaced_in_time():
    values = dynamic()
    assert values["ttl"] >= LEAST_TTL
    assert values["loop_wait"] + 2 * values["retry_timeout"] <= values["ttl"]
    # The rest is for the election, the promotion and the look of HAProxy.
    assert values["ttl"] <= MOST_SECONDS - 8
    assert values["primary_start_timeout"] == 0


def test_a_commit_is_answered_by_two_machines_only():
    values = dynamic()
    assert values["synchronous_mode"] == "quorum"
    assert values["synchronous_mode_strict"] is True
    assert values["synchronous_node_count"] == 1
    assert values["postgresql"]["parameters"]["synchronous_commit"] == "on"
    assert values["postgresql"]["use_pg_rewind"] is True


def test_the_page_names_the_values_of_the_files():
    values = dynamic()
    assert f"| `ttl` | {values['ttl']} s |" in PAGE
    rounds = f"{values['loop_wait']} s, {values['retry_timeout']} s"
    assert f"| `loop_wait`, `retry_timeout` | {rounds} |" in PAGE
    parameters = values["postgresql"]["parameters"]
    assert {parameters["wal_sender_timeout"], parameters["wal_receiver_timeout"]} == {"6s"}
    assert "| `wal_sender_timeout`, `wal_receiver_timeout` | 6 s |" in PAGE
    proxy = (FOLDER / "haproxy.cfg").read_text()
    pattern = r" inter (\d+)s fastinter (\d+)ms downinter (\d+)ms fall (\d+) rise (\d+) "
    inter, fast, down, fall, rise = re.search(pattern, proxy).groups()
    check = re.search(r"timeout check (\d+)s", proxy)[1]
    assert f"| {inter} s, {fall}, {check} s |" in PAGE
    assert f"| {fast} ms, {down} ms |" in PAGE
    assert f"| HAProxy: `rise`, `on-marked-down shutdown-sessions` | {rise} |" in PAGE


def test_no_password_is_one():
    secrets = {key: value for key, value in variables("patroni.env").items() if "PASSWORD" in key}
    assert len(secrets) == 4
    assert all(value.startswith("replace-") for value in secrets.values())
    assert len(set(secrets.values())) == len(secrets)


def test_a_patroni_asks_its_own_etcd_first():
    """Else it may not learn in time that the lock of a machine that is cut off is free."""
    own = variables("etcd.env")["ETCD_ADVERTISE_CLIENT_URLS"].removeprefix("http://")
    patroni = variables("patroni.env")
    assert patroni["PATRONI_ETCD3_HOSTS"].split(",")[0] == own
    assert own.split(":")[0] == patroni["PATRONI_POSTGRESQL_CONNECT_ADDRESS"].split(":")[0]
    assert patroni["PATRONI_NAME"] == variables("etcd.env")["ETCD_NAME"]
    assert yaml.safe_load((FOLDER / "patroni.yml").read_text())["etcd3"] == {"use_proxies": True}


def test_the_unit_reads_these_files():
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string((FOLDER / "patroni.service").read_text())
    service = unit["Service"]
    for path in (service["EnvironmentFile"], service["ExecStart"].split()[1]):
        assert f"`{path}`" in PAGE
    # Else systemd would kill PostgreSQL beside Patroni, which is to stop it.
    assert service["KillMode"] == "process"


def test_haproxy_takes_its_file(tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    done = subprocess.run(
        ["haproxy", "-c", "-f", str(FOLDER / "haproxy.cfg")],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
