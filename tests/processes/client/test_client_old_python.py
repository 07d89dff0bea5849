"""The client, installed as a user installs it, on the oldest Python that it promises to run on."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.processes.service import ROOT
from tests.waiting import eventually

# An interpreter of a virtual environment with nothing but the client; `.ci/run` makes it.
PYTHON = os.environ.get("SILO_OLD_PYTHON", "")

pytestmark = pytest.mark.skipif(not PYTHON, reason="needs SILO_OLD_PYTHON, see .ci/run")


def test_it_is_old():
    told = subprocess.run([PYTHON, "--version"], check=True, capture_output=True, text=True)
    assert told.stdout.startswith("Python 3.9.")


def test_a_program_edits_and_dies(ada, run_program, client_of, part):
    watching = client_of(ada.server, "bob").stream(item=part)
    program = run_program(ada, python=PYTHON)
    session = program.edit(part)
    assert session["valid"]
    assert program.ask("hold_the_interpreter", 2) > 1
    assert program.ask("valid") == [True]
    program.kill()
    watching.event("edit.session_released", session_id=session["session_id"])


def test_the_installed_package_names_its_version_and_its_licence():
    code = """
from importlib.metadata import distribution
import silo_client

installed = distribution("silo-client")
print(installed.version == silo_client.__version__, installed.metadata["License-Expression"])
print(*(file.read_text() for file in installed.files if file.name == "LICENSE"))
"""
    told = subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout
    first, _, licence = told.partition("\n")
    assert first == "True MIT"
    assert licence.strip() == (ROOT / "LICENSE").read_text().strip()


@pytest.mark.usefixtures("client_state")
def test_the_command_runs(ada, part):
    silo = str(Path(PYTHON).with_name("silo"))
    env = {
        **os.environ,
        "SILO_URL": ada.server.url,
        "SILO_TOKEN": ada.token,
    }

    def run(*arguments):
        command = [silo, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    held = run("edit", part, "--", "sh", "-c", "echo $SILO_PART_NUMBER; exit 3")
    assert (held.returncode, held.stdout.strip()) == (3, part), held.stderr
    assert run("who", "--json").stdout.strip().startswith("{")
    assert run("nonsense").returncode == 2
    eventually(lambda: ada.held(part) == [])
