"""Somebody at a terminal: runs `silo` as a person does, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import warm
from tests.processes.service import Client, Process

SILO = (sys.executable, "-W", "error", "-m", "silo_client.cli")


class Gate:
    """A command that runs until the gate is opened, then ends with a code.

    Args:
        file: that is there once it is open.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def command(self, code: int = 0) -> tuple[str, ...]:
        """Return the command. It says `begun` once it runs."""
        waiting = f"echo begun; while [ ! -e '{self._file}' ]; do sleep 0.05; done; exit {code}"
        return "sh", "-c", waiting

    def open(self) -> None:
        """Let it end."""
        self._file.touch()


class Silo(Process):
    """A running `silo`; `output` is what it has written, whichever way."""

    warm = True

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal as the terminal does: to `silo` and what it runs."""
        os.killpg(self.pid, number)

    @property
    def news(self) -> list[dict[str, Any]]:
        """What `watch --json` has written."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]


class CliUser:
    """A user of `silo` on one machine.

    Args:
        client: whose server and token are used.
        folder: for what `silo` keeps.
    """

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.started: list[Silo] = []
        self.env = {
            **os.environ,
            "SILO_URL": client.server.url,
            "SILO_TOKEN": client.token,
            "SILO_STATE": str(folder / "state"),
            "SILO_CONFIG_HOME": str(folder / "config"),
            "PYTHONUNBUFFERED": "1",
            # There is no keyring in which a test may write.
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "TZ": "UTC",
        }

    def start(self, *arguments: str, **env: str) -> Silo:
        """Start `silo` and go on."""
        process = Silo(*SILO, *arguments, env=self.env | env)
        self.started.append(process)
        return process

    def run(
        self, *arguments: str, given: str = "", **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run `silo` to its end.

        Args:
            *arguments: of it.
            given: its standard input.
            **env: of it, besides.
        """
        return warm.run((*SILO, *arguments), self.env | env, given)

    def json(self, *arguments: str) -> Any:
        """Run `silo` with `--json`; return what it has written."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def holders(self, part: str) -> list[str]:
        """The names of the workstations that edit a part."""
        return [session["workstation"]["name"] for session in self.client.held(part)]

    def edit(self, part: str, command: tuple[str, ...] = (), *options: str, **env: str) -> Silo:
        """Start `silo edit`; return once the command has said `begun`, or the session is held where there is none."""
        words = ["--", *command] if command else []
        process = self.start("edit", part, *options, *words, **env)
        process.line("begun" if command else "until Ctrl-C")
        return process
