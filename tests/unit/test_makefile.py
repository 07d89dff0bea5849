"""What `make` does before anything is installed: it looks for a free port, and installs the requirements."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import reserved
from tools import port

ROOT = Path(__file__).parents[2]
REQUIREMENTS = (
    "requirements.txt",
    "constraints.txt",
    "client/pyproject.toml",
    "embedded_postgres/pyproject.toml",
)
# Of a make that runs these tests.
NOT_INHERITED = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VENV", "PYTHON")
# Stands for the interpreter of a virtual environment: keeps what it is called with, and its pip says something.
INTERPRETER = (
    '#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "$@" >>calls\nprintf "%s" "{says}" >&2\nexit {code}\n'
)


@pytest.fixture
def project(tmp_path):
    """A folder with the Makefile and requirements."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in REQUIREMENTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "requirements.txt").write_text("-c constraints.txt\n")
    return tmp_path


@pytest.fixture
def install(project):
    """Run `make installed`; return its exit code and what it says."""

    def run(venv="venv"):
        kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        done = subprocess.run(
            ["make", "installed", f"VENV={venv}", f"PYTHON={sys.executable}"],
            cwd=project,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def make_environment(project, says="", code=0):
    python = project / "venv/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    (project / "venv/pyvenv.cfg").touch()
    python.write_text(INTERPRETER.format(says=says, code=code))
    python.chmod(0o755)


def calls(project):
    file = project / "calls"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_installed_once_and_again_when_they_change(project, install, name):
    make_environment(project)
    assert install() == (0, "Installing requirements.txt into venv (it may take a minute)\n")
    assert install() == (0, "")
    assert len(calls(project)) == 1
    (project / name).write_text("six==1.17.0\n")
    assert install()[0] == 0
    assert install() == (0, "")
    assert len(calls(project)) == 2


def test_a_failed_installation_is_tried_again_and_says_why(project, install):
    make_environment(project, says="ERROR: no route to host", code=1)
    for _ in range(2):
        code, said = install()
        assert code
        assert "no route to host" in said
        assert "pip could not install requirements.txt" in said
    assert len(calls(project)) == 2


def test_an_installation_that_failed_leaves_no_stamp_of_the_former_one(project, install):
    make_environment(project)
    former = (project / "requirements.txt").read_text()
    install()
    (project / "requirements.txt").write_text("six==1.17.0\n")
    make_environment(project, code=1)
    install()
    # As it was, but pip may have changed half of the environment.
    (project / "requirements.txt").write_text(former)
    make_environment(project)
    assert install()[1].startswith("Installing")


def test_an_environment_without_its_interpreter_is_made_anew(project, install):
    make_environment(project)
    install()
    (project / "venv/bin/python").unlink()
    (project / "venv/bin/python").symlink_to("/not/there/python")
    code, said = install()
    assert code == 0, said
    assert "Making a virtual environment in venv" in said
    subprocess.run([project / "venv/bin/python", "-c", "import pip"], check=True)
    assert install() == (0, "")


def test_a_folder_of_another_kind_is_left_alone(project, install):
    (project / "home").mkdir()
    (project / "home/thesis").touch()
    code, said = install(venv="home")
    assert code
    assert said.startswith("home is no virtual environment: choose another folder with VENV=.")
    assert (project / "home/thesis").exists()


def test_a_free_port_passes_and_needs_nothing_that_is_installed():
    command = [sys.executable, "-I", "-S", ROOT / "tools/port.py", str(reserved())]
    subprocess.run(command, check=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_busy_port_is_refused(address):
    with socket.create_server((address, 0)) as server:
        number = server.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"^Port {number} of 127\.0\.0\.1 is in use: .*PORT="):
            port.check(str(number))


@pytest.mark.parametrize("text", ["", "0", "-1", "65536", "80 80", "http", "8000.0", "²"])
def test_a_text_that_is_no_port_is_refused(text):
    with pytest.raises(SystemExit, match="is not a port"):
        port.check(text)
