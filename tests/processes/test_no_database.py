"""Commands where there is no database yet."""

import os
import sys
from pathlib import Path

import pytest

from tests.processes import warm


@pytest.mark.parametrize(
    "command",
    [
        ["createtoken", "ada", "--role", "editor", "--create-user"],
        ["loaditems", "examples/parts.csv"],
        ["mergeitems", "Part-1", "part-1"],
        ["newepoch"],
        ["migrate", "--check"],
        ["serve", "--port", "0"],
        ["runsweeper"],
    ],
    ids=lambda command: command[0],
)
def test_a_command_that_wants_data_makes_no_database(tmp_path: Path, command: list[str]) -> None:
    folder = tmp_path / "var"
    own = {"SILO_VAR": str(folder)}
    inherited = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SILO_SECRET_KEY")
    kept = {name: value for name, value in os.environ.items() if name not in inherited}
    done = warm.run((sys.executable, "-W", "error", "manage.py", *command), kept | own)
    # A service manager need not start the two that run for long again (EX_CONFIG).
    assert done.returncode == (os.EX_CONFIG if command[0] in ("serve", "runsweeper") else 1)
    assert (
        f"There is no database in {folder}: run `manage.py migrate` first. SILO_VAR names the"
        " folder; with DATABASE_URL another PostgreSQL is used."
    ) in done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()
