"""Forked processes are what started ones would be."""

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest

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
    "PATH": os.environ["PATH"],
    "PYTHONUNBUFFERED": "1",
    "LC_ALL": "C.UTF-8",
    "OWN": "größe",
}


class Some(Process):
    """Runs the script."""

    def __init__(self, folder: Path, argument: str, *, warm: bool) -> None:
        self.warm = warm
        script = folder / "script.py"
        script.write_text(SCRIPT)
        command = (sys.executable, "-W", "error", str(script), argument)
        super().__init__(*command, env=ENVIRONMENT, cwd=folder)
        assert isinstance(self._popen, WarmProcess) == warm


def test_they_see_the_same(tmp_path):
    seen = []
    for warm in (True, False):
        with closing(Some(tmp_path, "7", warm=warm)) as process:
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
