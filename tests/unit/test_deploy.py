"""The files of deploy/ that need no other program: units of systemd, an example of the configuration."""

import configparser
import os
import re
import shlex
import shutil
import subprocess

import pytest
from django.core.management import load_command_class

from events_app.database import start
from events_app.serving import workers
from silo import config, silo_yaml
from tests.documents import ROOT

EXAMPLE = ROOT / "deploy/silo.yaml"
SECTIONS = {
    "modules.sessions": config.SessionsConfig,
    "server": config.ServerConfig,
    "limits": config.LimitsConfig,
    "accounts": config.AccountsConfig,
}
SYSTEMD = ROOT / "deploy/systemd"
UNITS = ("silo-serve@.service", "silo-sweeper.service")
PYTHON = "/opt/silo/.venv/bin/python"
# An instance is named after its port.
PORT = "8001"
# Of ten. That of a unit without any protection is 9.6.
MOST_EXPOSED = 3.0
APP_OF = {"serve": "events_app", "runsweeper": "sessions_app"}


def of_service(name):
    """Return a unit's section [Service]; a key that stands twice has its last value."""
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string((SYSTEMD / name).read_text())
    return dict(unit["Service"])


def parsed(command):
    """Return the subcommand of a command line and its options, as manage.py reads them.

    Raises:
        CommandError: it has an option that there is not, or a value that is refused.
    """
    python, manage, name, *arguments = shlex.split(command.replace("%i", PORT))
    assert python == PYTHON
    assert manage == "manage.py"
    parser = load_command_class(APP_OF[name], name).create_parser(manage, name)
    return name, vars(parser.parse_args(arguments))


def test_every_file_is_known():
    assert {path.name for path in SYSTEMD.iterdir()} == {*UNITS, "workers.conf"}


def test_a_server_is_started_by_its_port():
    name, options = parsed(of_service("silo-serve@.service")["ExecStart"])
    assert name == "serve"
    # Nobody reaches it but by the proxy, and its metrics nobody at all.
    assert (options["host"], options["port"]) == ("127.0.0.1", int(PORT))
    assert (options["workers"], options["metrics"]) == (1, None)


def test_the_sweeper_is_started():
    name, options = parsed(of_service("silo-sweeper.service")["ExecStart"])
    assert name == "runsweeper"
    assert not options["once"]


def test_the_drop_in_adds_workers_and_metrics():
    dropped = of_service("workers.conf")
    assert dropped.keys() == {"ExecStart"}
    # Else systemd refuses a second command.
    assert (SYSTEMD / "workers.conf").read_text().count("\nExecStart=\n") == 1
    name, options = parsed(dropped["ExecStart"])
    assert name == "serve"
    assert (options["host"], options["port"]) == ("127.0.0.1", int(PORT))
    assert options["workers"] > 1
    assert options["metrics"].host == "127.0.0.1"


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_comes_back_but_from_what_somebody_has_to_mend(name):
    service = of_service(name)
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"] == str(start.EXIT_CODE)
    assert "StartLimitIntervalSec=0" in (SYSTEMD / name).read_text()


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_time_to_stop_in_order(name):
    service = of_service(name)
    # Workers are told by the process that watches them.
    assert service["KillMode"] == "mixed"
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) > workers.KILL_AFTER_SECONDS


@pytest.mark.parametrize("name", UNITS)
def test_user_and_paths_are_those_of_the_page(name):
    service = of_service(name)
    page = (ROOT / "docs/operations.md").read_text()
    home = service["WorkingDirectory"]
    assert (
        f"useradd --system --home-dir {home} --shell /usr/sbin/nologin {service['User']}\n" in page
    )
    assert f"python3 -m venv {PYTHON.removesuffix('/bin/python')}\n" in page
    assert f"/dev/null {service['EnvironmentFile']}\n" in page
    assert "install -m 644 /opt/silo/deploy/systemd/*.service /etc/systemd/system/\n" in page


def test_the_page_and_the_filter_of_fail2ban_name_these_units():
    page = (ROOT / "docs/operations.md").read_text()
    named = set(re.findall(r"\bsilo-(?:serve|sweep)[\w-]*(?:@|\b)", page))
    assert named - {"silo-serve"} == {"silo-serve@", "silo-sweeper"}
    # The slice of a template is named after it; `-` is escaped.
    assert r"_SYSTEMD_SLICE=system-silo\x2dserve.slice" in page


def test_a_server_has_descriptors_for_its_streams():
    assert of_service("silo-serve@.service")["LimitNOFILE"] == "65536"


@pytest.fixture
def analyze():
    """Run systemd-analyze, which needs no running systemd for what is asked here; return what it prints."""
    program = shutil.which("systemd-analyze")
    if program is None:
        assert "SILO_TEST_SYSTEMD" not in os.environ, "the package systemd is missing"
        pytest.skip("needs systemd-analyze")

    def run(*arguments):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("name", UNITS)
def test_little_is_exposed(analyze, name):
    printed = analyze("security", "--offline=yes", "--no-pager", str(SYSTEMD / name))
    exposed = re.search(r"Overall exposure level for \S+: ([0-9.]+) ", printed)
    assert exposed, printed
    assert float(exposed[1]) <= MOST_EXPOSED, printed


@pytest.mark.parametrize("name", UNITS)
def test_systemd_knows_every_directive(analyze, name, tmp_path):
    # An instance; and the project is not installed here, nor is its manual where the unit says.
    unit = tmp_path / name.replace("@.", f"@{PORT}.")
    unit.write_text((SYSTEMD / name).read_text().replace(PYTHON, "/bin/true"))
    assert analyze("verify", "--man=no", str(unit)) == ""


@pytest.fixture
def _bare_environment(monkeypatch):
    for name in os.environ:
        if name.upper().startswith("SILO_"):
            monkeypatch.delenv(name)


def defaults():
    return {
        name: {key: field.default for key, field in section.model_fields.items()}
        for name, section in SECTIONS.items()
    }


def dumped(path):
    """Return the values of a configuration file as the server has them."""
    loaded = config.load(path, required=True)
    return {name: one.model_dump() for name, one in zip(SECTIONS, loaded, strict=True)}


@pytest.mark.usefixtures("_bare_environment")
def test_the_example_of_the_configuration_changes_nothing():
    assert dumped(EXAMPLE) == defaults()
    assert re.findall(r"(?m)^ *\w+: *\S", EXAMPLE.read_text()) == []


@pytest.mark.usefixtures("_bare_environment")
def test_the_example_has_every_key_with_its_default(tmp_path):
    every = tmp_path / "silo.yaml"
    every.write_text(re.sub(r"(?m)^( *)#(\w+:)", r"\1\2", EXAMPLE.read_text()))
    document = silo_yaml.load(every.read_text())
    given = {"modules.sessions": document["modules"]["sessions"]}
    given |= {name: document[name] for name in document if name != "modules"}
    assert {name: list(values) for name, values in given.items()} == {
        name: list(values) for name, values in defaults().items()
    }
    assert dumped(every) == defaults()


def test_the_example_explains_every_key_in_one_line():
    lines = EXAMPLE.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r" *#\w+:", line)]
    assert len(keys) == sum(len(values) for values in defaults().values())
    for number in keys:
        assert re.match(r" *# \w.*\.$", lines[number - 1]), lines[number]
        assert not lines[number - 2].lstrip().startswith("# "), lines[number]
