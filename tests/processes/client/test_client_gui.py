"""Callbacks in the thread of a program's windows, by the real toolkits.

`.ci/run` installs PySide2 and tkinter of the distribution. `SILO_TEST_GUI_PYTHON` names an interpreter with others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import silo_client
from silo_client.gui import QT_BINDINGS
from silo_client.link.interpreter import places
from tests.waiting import PATIENCE_SECONDS

PYTHON = os.environ.get("SILO_TEST_GUI_PYTHON", "/usr/bin/python3")
# The toolkits that may not be missing.
NEEDED = os.environ.get("SILO_TEST_GUI_TOOLKITS", "").split()
PROGRAM = Path(__file__).with_name("gui_program.py")
DISPLAY = ["xvfb-run", "--auto-servernum"]


def run(toolkit, *command):
    """Run a command in a display where the toolkit needs one; return its completed process."""
    before = DISPLAY if toolkit == "tkinter" else []
    # Packages that are compiled for the tests' own Python are beside those of the client, and are not imported.
    folders = [str(Path(silo_client.__file__).parents[1]), *places()]
    environment = os.environ | {
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONPATH": os.pathsep.join(folders),
    }
    return subprocess.run(
        [*before, PYTHON, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
        check=False,
    )


def is_there(toolkit):
    module = toolkit if toolkit == "tkinter" else f"{toolkit}.QtCore"
    try:
        return run(toolkit, "-c", f"import {module}").returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="the toolkits of a Linux distribution")
@pytest.mark.parametrize("toolkit", [*QT_BINDINGS, "tkinter"])
def test_callbacks_are_called_in_the_thread_of_the_windows(toolkit):
    if toolkit not in NEEDED and not is_there(toolkit):
        pytest.skip(f"{toolkit} is not installed for {PYTHON}")
    ended = run(toolkit, str(PROGRAM), toolkit)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told == {
        "came": 1000,
        "in_order": True,
        "in_the_gui_thread": True,
        "undelivered": ["on_lost"],
    }
    assert "ERROR a callback is lost: on_lost(2, 0) was refused by `dispatch`" in ended.stderr
