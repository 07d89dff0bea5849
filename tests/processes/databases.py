"""Further databases beside the tests' one, and management commands on them."""

import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import connection

from tests.processes import warm
from tests.processes.service import database_url, environment
from tests.programs import path_with_them


@pytest.fixture
def empty_database(processes: ExitStack) -> Callable[[], str]:
    """Make an empty database beside the tests' one; return its URL."""

    def make() -> str:
        name = f"test_backup_{uuid.uuid4().hex}"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        processes.callback(drop, name)
        return f"postgresql:///{name}?{database_url().partition('?')[2]}"

    return make


def drop(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def manage() -> Callable[..., tuple[int, str]]:
    """Run a management command on a database; return its exit code and what it prints."""

    def run(database: str, *arguments: Any, path: str = "") -> tuple[int, str]:
        path = path or path_with_them()
        command = (sys.executable, "-W", "error", "manage.py", *map(str, arguments))
        own = environment(DATABASE_URL=database, DJANGO_SETTINGS_MODULE="silo.settings", PATH=path)
        done = warm.run(command, own)
        return done.returncode, done.stdout + done.stderr

    return run
