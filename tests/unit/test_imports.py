"""Imports go one way, and the client knows the server by HTTP only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER = {"silo", "sessions_app", "events_app"}
# What each may not import.
FORBIDDEN = {
    "events_app": {"sessions_app", "silo", "silo_client"},
    "sessions_app": {"silo", "silo_client"},
    "silo": {"silo_client"},
    "client/src/silo_client": {*SERVER, "django"},
    "embedded_postgres/src/django_embedded_postgres": {*SERVER, "silo_client"},
}


def imported(file):
    """The top packages that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert len(files) >= 10
    for file in files:
        assert not FORBIDDEN[folder].intersection(imported(file)), file
