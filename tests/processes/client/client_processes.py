"""Programs that use `silo_client`, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes.service import Process
from tests.waiting import PATIENCE_SECONDS, eventually

SCRIPT = str(Path(__file__).with_name("client_program.py"))


class ClientProgram(Process):
    """One of them; see `client_program.py`.

    Args:
        url: the server's address.
        token: a user's.
        before: what its command begins with, to run it elsewhere.
        python: the interpreter; that of the tests without it.
        script: its arguments before those of the program: the program, which a child of the tests finds installed.
        options: of `Workstation.connect`.
    """

    warm = True

    def __init__(
        self,
        url: str,
        token: str,
        before: tuple[str, ...] = (),
        python: str = sys.executable,
        script: tuple[str, ...] = ("-W", "error", SCRIPT),
        **options: Any,
    ) -> None:
        arguments = (*script, url, token, json.dumps(options))
        super().__init__(*before, python, *arguments, env=dict(os.environ), stdin=subprocess.PIPE)
        told = json.loads(self.line('"connected"'))
        self.workstation_id: str = told["connected"]
        self.helper_pid: int = told["helper"]

    @property
    def told(self) -> list[dict[str, Any]]:
        """Everything it has told."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    @property
    def answers(self) -> list[Any]:
        return [told["answer"] for told in self.told if "answer" in told]

    def ask(self, name: str, argument: Any = None, within: float = PATIENCE_SECONDS) -> Any:
        """Send a command; return its answer."""
        return self.send(name, argument)(within)

    def send(self, name: str, argument: Any = None) -> Any:
        """Send a command; return what waits for its answer, for so many seconds."""
        before = len(self.answers)
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps([name, argument]) + "\n")
        self._popen.stdin.flush()

        def answer(within: float = PATIENCE_SECONDS) -> Any:
            eventually(lambda: len(self.answers) > before, f"{name} in {self.output}", within)
            return self.answers[before]

        return answer

    def edit(self, part_number: str, level: str = "sketch", **more: Any) -> Any:
        """Acquire a session; return what it says of it."""
        return self.ask("edit", {"part_number": part_number, "level": level, **more})

    def heard(self, **what: Any) -> dict[str, Any]:
        """Wait until it has told this; return it."""

        def look() -> dict[str, Any] | None:
            return next((told for told in self.told if what.items() <= told.items()), None)

        told: dict[str, Any] = eventually(look, f"{what} in {self.output}")
        return told

    def close(self) -> None:
        super().close()
        assert self._popen.stdin is not None
        self._popen.stdin.close()
