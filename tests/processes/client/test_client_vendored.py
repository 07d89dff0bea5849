"""The client and all that it imports in one folder, as a plug-in ships it, on the oldest and the newest Python."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes.client.client_processes import SCRIPT
from tests.processes.client.forwarding import Proxy
from tests.waiting import eventually
from tools import vendor_client

COMPILED = {".so", ".pyd", ".dll", ".dylib", ".exe", ".pyc", ".a", ".lib"}
# Those that the client promises to run on.
VERSIONS = range(9, 14)
# As FreeCAD 1.0 embeds Python: what the environment and the user's folders have is ignored.
WARNINGS = ("-W", "error")
ISOLATED = ("-I", "-S", *WARNINGS)


def pythons():
    """The interpreters of this machine, by the second number of their version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = {}
    for minor in VERSIONS:
        named = shutil.which(f"python3.{minor}")
        for path in filter(
            None, [*map(str, pyenv.glob(f"versions/3.{minor}.*/bin/python")), named]
        ):
            # What pyenv puts on the PATH need not run.
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run([path, "-c", "import ssl"], check=True, capture_output=True)
                found[minor] = path
    return found


@pytest.fixture(scope="module", params=[min, max], ids=["oldest", "newest"])
def python(request):
    found = pythons()
    return found[request.param(found)]


@pytest.fixture(scope="module")
def vendored(tmp_path_factory):
    """The folder: that of `.ci/run`, or one that is made here where pip can get what it needs."""
    if made := os.environ.get("SILO_TEST_VENDORED"):
        return Path(made)
    folder = tmp_path_factory.mktemp("add-on") / "größe und vendor"
    try:
        vendor_client.vendor(folder)
    except SystemExit as error:
        pytest.skip(f"needs an index of packages: {error}")
    return folder


# What Debian 12 has where its python3-httpx is installed.
OF_THE_SYSTEM = (
    *("httpx==0.23.3", "httpcore==0.16.3", "anyio==3.6.2", "h11==0.14.0", "sniffio==1.2.0"),
    *("certifi==2022.9.24", "idna==3.3", "rfc3986==1.5.0", "typing_extensions==4.4.0"),
    "platformdirs==2.6.0",
)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A folder of older packages of the same names, which comes first in the program."""
    folder = tmp_path_factory.mktemp("system")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*command, *OF_THE_SYSTEM], check=False, capture_output=True, text=True)
    if done.returncode and not os.environ.get("SILO_TEST_VENDORED"):
        pytest.skip(f"needs an index of packages: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return folder


def program_of(*folders, script=SCRIPT):
    """The arguments of a Python that begins isolated, and gets the folders as its last ones in `sys.path`."""
    code = (
        f"import sys, runpy; sys.path += {[str(folder) for folder in folders]}; del sys.argv[0];"
        " runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return (*ISOLATED, "-c", code, script)


def test_an_isolated_program_edits_and_dies(
    ada, bob, run_program, client_of, part, python, vendored
):
    watching = bob.stream(item=part)
    program = run_program(ada, python=python, script=program_of(vendored))
    session = program.edit(part)
    assert session["valid"]
    assert run_program(bob).edit(part) == {"held_by": "ada"}
    # The helper has nothing but the folder, too.
    command = Path(f"/proc/{program.helper_pid}/cmdline").read_text().split("\0")
    assert "-S" in command
    assert [word for word in command if word.startswith("/")][1:] == [str(vendored)]
    program.kill()
    watching.event("edit.session_released", session_id=session["session_id"])
    eventually(lambda: ada.held(part) == [])


@pytest.mark.parametrize("scheme", ["", "http", "socks5"])
def test_older_packages_of_the_system_that_come_first_do_no_harm(
    ada, processes, run_program, part, vendored, system, monkeypatch, scheme
):
    with monkeypatch.context() as environment:
        if scheme:
            proxy = Proxy(scheme)
            processes.callback(proxy.close)
            environment.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.port}")
        # Warnings are no errors, as the old packages have some.
        script = program_of(system, vendored)
        program = run_program(ada, script=tuple(word for word in script if word not in WARNINGS))
    assert program.edit(part)["valid"]
    assert not scheme or proxy.reached
    # The helper has ours.
    command = Path(f"/proc/{program.helper_pid}/cmdline").read_text().split("\0")
    assert [word for word in command if word.startswith("/")][1] == str(vendored)


def test_every_module_can_be_imported(python, vendored, tmp_path):
    script = tmp_path / "imports.py"
    script.write_text(
        "import importlib, json, pkgutil, silo_client\n"
        "found = pkgutil.walk_packages(silo_client.__path__, 'silo_client.')\n"
        "modules = [importlib.import_module(one.name) for one in found]\n"
        "import httpx, httpx_sse, httpcore, anyio, h11, certifi, idna, platformdirs, socksio\n"
        "modules += [httpx, httpx_sse, httpcore, anyio, h11, certifi, idna, platformdirs, socksio]\n"
        "print(json.dumps([one.__file__ for one in modules]), open(certifi.where()).read(0))\n"
    )
    command = [python, *program_of(vendored, script=str(script))]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    files = json.loads(told.stdout)
    assert len(files) > 40
    assert not [file for file in files if not file.startswith(str(vendored))]


def test_nothing_in_it_is_compiled_or_of_this_machine(vendored):
    files = [file for file in vendored.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert not [file for file in files if file.suffix in COMPILED]
    assert not [file for file in files if file.read_bytes()[:4] in (b"\x7fELF", b"MZ\x90\x00")]
    assert not [file for file in files if str(vendored.parent).encode() in file.read_bytes()]
    # Small enough for an add-on: it is 2.4 MB.
    assert sum(file.stat().st_size for file in files) < 4e6


def test_every_package_in_it_has_its_licence_and_is_of_a_version_that_was_chosen(vendored):
    infos = list(vendored.glob("*.dist-info"))
    pins = [line for line in vendor_client.PINS.read_text().splitlines() if line[:1] not in "#"]
    assert len(infos) == len(pins) + 1
    for info in infos:
        assert [file for file in info.rglob("*") if "LICEN" in file.name.upper() and file.is_file()]
    names = {info.name.removesuffix(".dist-info").replace("-", "==").lower() for info in infos}
    assert {pin.replace("-", "_").lower() for pin in pins} < names


def test_it_is_made_again_in_its_own_place_only(vendored, tmp_path):
    if os.environ.get("SILO_TEST_VENDORED"):
        folder = tmp_path / "copy"
        shutil.copytree(vendored, folder)
    else:
        folder = vendored
    (folder / "old.py").write_text("")
    command = [sys.executable, "-m", "tools.vendor_client", str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "has the client" in told
    assert not (folder / "old.py").exists()
    assert {file.name for file in folder.parent.iterdir()} == {folder.name}
