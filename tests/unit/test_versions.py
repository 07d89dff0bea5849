"""The versions of the server and of the client: stated once each, and shown where users look for them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import RequestFactory

import silo
import silo_client
from silo.health import health

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client/src/silo_client"
PROJECT_VARIABLES = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SILO_SECRET_KEY")


def run(*arguments: object, **env: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in PROJECT_VARIABLES}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=kept | env, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_server_and_client_are_released_together():
    assert silo.__version__ == silo_client.__version__


def test_the_change_log_knows_the_version():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", one) for one in headings[1:]]
    assert headings[0] == "[Unreleased]"
    assert released
    assert all(released)
    numbers = [tuple(map(int, match[1].split("."))) for match in released if match]
    assert numbers == sorted(set(numbers), reverse=True)
    now, _, development = silo.__version__.partition(".dev")
    newest = tuple(map(int, now.split(".")))
    # Between releases the version is that of the release to come.
    assert newest > numbers[0] if development else newest == numbers[0]


def test_the_client_is_licensed_as_the_whole_is():
    assert (ROOT / "client/LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_health_names_the_version():
    assert (
        f'"version": "{silo.__version__}"'.encode()
        in health(RequestFactory().get("/health")).content
    )


def test_the_command_names_the_version():
    assert run("-m", "silo_client.cli", "--version") == f"silo {silo_client.__version__}\n"


def test_a_copy_of_the_client_inside_a_program_knows_its_version(tmp_path):
    shutil.copytree(CLIENT, tmp_path / "silo_client")
    version = tmp_path / "silo_client/version.py"
    version.write_text('__version__ = "7.8.9"\n')
    shown = run(
        "-c",
        "import silo_client, silo_client.api as api; print(silo_client.__version__, api.headers('t')['User-Agent'])",
        PYTHONPATH=str(tmp_path),
    )
    assert shown == "7.8.9 silo-client/7.8.9\n"


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({}, "There is no database in"),
        ({"SILO_SWEEP_SECONDS": "often"}, "sweep_seconds"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/silo", "SILO_SECRET_KEY": "k" * 40}, "refused"),
    ],
    ids=["no database", "bad configuration", "database away"],
)
def test_the_server_names_its_version_without_a_database(tmp_path, env, reason):
    var = tmp_path / "var"
    first, *_, last = run("manage.py", "version", SILO_VAR=str(var), **env).splitlines()
    assert first == f"Silo Sessions {silo.__version__}"
    assert last.startswith("PostgreSQL not reached: ")
    assert reason in last
    assert not var.exists()
