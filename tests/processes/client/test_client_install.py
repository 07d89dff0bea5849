"""The client is installed from a server by the real pip, as somebody without a checkout does it."""

import subprocess
import sys

import httpx
import pytest

from silo import __version__
from tests.processes.service import ROOT

WHEEL = f"silo_client-{__version__}-py3-none-any.whl"
# Without any other index, and with the build backend that is installed here.
OFFLINE = ("--no-deps", "--no-build-isolation", "--no-cache-dir", "--disable-pip-version-check")


def pip(*words):
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel that pip builds of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", *OFFLINE, "--wheel-dir", str(folder), str(ROOT / "client"))
    return (folder / WHEEL).read_bytes()


def test_pip_installs_it_from_a_server(serve, tmp_path, built):
    server = serve()
    address = f"{server.url}/client/{WHEEL}"
    assert httpx.get(address).content == built

    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    pip("--python", python, "install", *OFFLINE, "--no-index", address)
    # What it needs is not there.
    code = "from importlib.metadata import version; print(version('silo-client'))"
    told = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == __version__
    assert (environment / "bin" / "silo").is_file()


def test_pip_finds_it_by_the_address_alone_and_in_the_index(serve, tmp_path):
    address = f"{serve().url}/client"
    for number, words in enumerate(
        (
            ("--no-index", address),
            ("--no-index", f"silo-client[cli] @ {address}"),
            ("--no-index", f"silo-client[cli] @ {address}/{WHEEL}"),
            ("--pre", "--index-url", f"{address}/simple/", "silo-client"),
        )
    ):
        folder = tmp_path / str(number)
        pip("install", *OFFLINE, "--target", str(folder), *words)
        assert f'"{__version__}"' in (folder / "silo_client" / "version.py").read_text()
