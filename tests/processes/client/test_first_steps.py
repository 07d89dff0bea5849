"""The commands of the READMEs work as they stand there, in the order of the page, beside a server with the demo."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.processes.service import ROOT, Process, environment

PAGES = ("README.md", "client/README.md")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
# Those that install, or run everything: test_make.py has `make run`.
NOT_HERE = ("make", "python3", "~/silo-env/bin/python")
# Would be used instead of what `silo login` keeps.
LOGIN = ("SILO_URL", "SILO_TOKEN", "SILO_CA_FILE")
# Those that run until they are ended, and what they say when they do.
SERVICES = {"serve": "Listening on", "runsweeper": "sweeper started"}


def commands(page):
    """The lines of a page's shell blocks."""
    lines = "".join(BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))).splitlines()
    return [line for line in lines if shlex.split(line, comments=True)]


@pytest.fixture
def terminal(serve, settings, tmp_path, processes):
    """Type a line as it stands, but for what is this test's: server, data folder, environment and editor."""
    settings.VAR_DIR = tmp_path
    call_command("createdemo", verbosity=0)
    here = {
        "http://127.0.0.1:8000": serve().url,
        "var/": f"{shlex.quote(str(tmp_path))}/",
        ".venv/bin/": f"{shlex.quote(str(Path(sys.executable).parent))}/",
        "vim part.txt": "true",
        "--port 8001": "--port 0",
    }
    own = {
        "SILO_STATE": str(tmp_path / "state"),
        "SILO_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    env = {name: value for name, value in (environment() | own).items() if name not in LOGIN}

    def type_line(line):
        for there, instead in here.items():
            line = line.replace(there, instead)
        service = SERVICES.keys() & set(shlex.split(line, comments=True))
        if service:
            run_for_a_moment(line, SERVICES[service.pop()])
            return ""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run_for_a_moment(line, said):
        process = Process("sh", "-c", f"exec {line}", env=env)
        processes.callback(process.close)
        process.line(said)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.output

    return type_line


@pytest.mark.parametrize("page", PAGES)
def test_every_command_works(terminal, page):
    said = [terminal(line) for line in commands(page) if line.split()[0] not in NOT_HERE]
    assert len(said) >= 3
    if page == "README.md":
        assert any("A01-0002" in one and "released" in one for one in said)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_of_the_environment_that_make_run_has_made(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w/.-])(?<!-m )(?:python|pytest) [\w./-]", text)
    assert not re.findall(r"(?<!\.venv/bin/)python manage\.py", text)
    for line in commands(page):
        assert line.startswith((".venv/bin/", *(f"{word} " for word in NOT_HERE)))
