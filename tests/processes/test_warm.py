"""Forked processes are what started ones would be."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes import warm as forking
from tests.processes.service import Process
from tests.processes.warm import WarmProcess

SCRIPT = """
import json, os, signal, sys, threading, warnings
sys.stderr.write("an error\\n")
print(json.dumps({
    "name": __name__, "arguments": sys.argv, "path": sys.path[0], "folder": os.getcwd(), "env": dict(os.environ),
    "open": sorted(map(int, os.listdir("/proc/self/fd")))[:-1], "leader": os.getsid(0) == os.getpid(),
    "threads": threading.active_count(), "strict": ("error", None, Warning, None, 0) in warnings.filters,
    "handlers": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "django": "django.conf" in sys.modules and sys.modules["django.conf"].settings.configured,
}))
if sys.argv[1] == "stay":
    signal.pause()
sys.exit(int(sys.argv[1]))
"""
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name == "PATH" or name.startswith(("PYTHON", "LANG", "LC_"))
} | {"PYTHONUNBUFFERED": "1", "OWN": "größe"}
ECHO = """
import sys, time
sys.stdout.reconfigure(errors="replace")
print(time.localtime(0).tm_hour, sys.stdin.read().upper())
sys.exit("größer")
"""


class Some(Process):
    """Runs the script."""

    def __init__(self, folder: Path, argument: str, *words: str, warm: bool) -> None:
        self.warm = warm
        script = folder / "script.py"
        script.write_text(SCRIPT)
        command = (sys.executable, "-W", "error", *(words or [str(script)]), argument)
        super().__init__(*command, env=ENVIRONMENT, cwd=folder)
        assert isinstance(self._popen, WarmProcess) == warm


@pytest.mark.parametrize("words", [(), ("-m", "script")])
def test_they_see_the_same(tmp_path, words):
    seen = []
    for warm in (True, False):
        with closing(Some(tmp_path, "7", *words, warm=warm)) as process:
            assert process.wait() == 7
            seen.append(process.lines)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("warm", [True, False])
def test_their_ends_are_told(tmp_path, warm):
    with closing(Some(tmp_path, "stay", warm=warm)) as process:
        process.line("{")
        assert process.running
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        process.signal(signal.SIGTERM)
        assert not process.running


def test_they_get_their_input_and_give_output_and_errors_apart(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    command = (sys.executable, "-W", "error", str(script))
    # Two hours behind.
    env = ENVIRONMENT | {"TZ": "UTC+2"}
    assert forking.can_be(command, env)
    forked = forking.run(command, env, "so größ", tmp_path)
    started = subprocess.run(
        command, cwd=tmp_path, env=env, input="so größ", text=True, capture_output=True, timeout=20
    )
    assert vars(forked) == vars(started)
    assert (forked.returncode, forked.stdout, forked.stderr) == (1, "22 SO GRÖSS\n", "größer\n")


@pytest.mark.parametrize("own", [{"LC_ALL": "C"}, {"PYTHONUTF8": "1"}])
def test_what_the_interpreter_reads_when_it_starts_is_not_ignored(own):
    command = (sys.executable, "-W", "error", "script.py")
    assert forking.can_be(command, ENVIRONMENT)
    assert not forking.can_be(command, ENVIRONMENT | own)
