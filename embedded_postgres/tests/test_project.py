"""A Django project of ten lines: it is migrated, two processes use it at once, and nothing runs afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres_users import environment, is_alive, server_pid, stop_what_is_left

SETTINGS = """
from pathlib import Path
from django_embedded_postgres import database

SECRET_KEY = "only-for-this-test"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
DATABASES = {
    "default": database(Path(__file__).parent / "data", hint="Ask the author of this project."),
    "reports": database(Path(__file__).parent / "data", name="reports"),
}
"""

MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

# Adds a user, says so, and waits until its standard input is closed.
VISITOR = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
import django
django.setup()
from django.contrib.auth.models import User
User.objects.create(username=sys.argv[1])
print(User.objects.count(), flush=True)
sys.stdin.read()
print(",".join(User.objects.order_by("username").values_list("username", flat=True)), flush=True)
"""


@pytest.fixture
def project(state: Path) -> Iterator[Path]:
    """Where the server's account can enter, so that the data stays in the project."""
    folder = state / "project"
    folder.mkdir(mode=0o755)
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "manage.py").write_text(MANAGE)
    yield folder
    stop_what_is_left(folder / "data")


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", *arguments],
        cwd=project,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output.strip()


def test_two_processes_of_a_small_project_share_one_server(project: Path) -> None:
    finish(start(project, "manage.py", "migrate", "--verbosity", "0"))
    assert not (project / "data/postgres/data/postmaster.pid").exists()

    first = start(project, "-c", VISITOR, "ada")
    assert first.stdout is not None
    assert first.stdout.readline().strip() == "1"
    pid = server_pid(project / "data")
    second = start(project, "-c", VISITOR, "bob")
    assert second.stdout is not None
    assert second.stdout.readline().strip() == "2"
    assert server_pid(project / "data") == pid

    assert finish(first) == "ada,bob"
    assert is_alive(pid)
    assert finish(second) == "ada,bob"
    assert not is_alive(pid)


def test_each_database_of_the_settings_is_created(project: Path) -> None:
    for alias in ("default", "reports"):
        finish(start(project, "manage.py", "migrate", "--verbosity", "0", "--database", alias))
    query = ("--", "-Atc", "select current_database(), count(*) from auth_user")
    shell = ("manage.py", "dbshell", "--database")
    assert finish(start(project, *shell, "default", *query)) == "django|0"
    assert finish(start(project, *shell, "reports", *query)) == "reports|0"


def test_another_user_than_at_first_is_refused_in_one_sentence(project: Path) -> None:
    finish(start(project, "manage.py", "migrate", "--verbosity", "0"))
    settings = project / "settings.py"
    settings.write_text(settings.read_text().replace("hint=", "user='ada', hint="))
    refused = start(project, "manage.py", "migrate")
    _, errors = refused.communicate(timeout=60)
    last = errors.strip().splitlines()[-1]
    assert "was created with another user" in last
    assert 'role "ada" does not exist' in last
    assert last.endswith("Ask the author of this project.")


def test_without_create_nothing_is_written(project: Path) -> None:
    settings = project / "settings.py"
    settings.write_text(settings.read_text().replace("hint=", "create=False, hint="))
    refused = start(project, "manage.py", "migrate")
    _, errors = refused.communicate(timeout=60)
    assert f"There is no database in {project / 'data'}: run `manage.py migrate`" in errors
    assert not (project / "data").exists()
