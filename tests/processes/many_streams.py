"""Very many streams, held by one client process: see `many_streams_client.py`."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class ManyStreams:
    """The client process."""

    def __init__(self, url: str) -> None:
        script = str(Path(__file__).with_name("many_streams_client.py"))
        self._popen = subprocess.Popen(
            [sys.executable, script, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def open(self, streams: Iterable[tuple[str, str]]) -> float:
        """Open a stream for each token and path, and wait for their heartbeats; return the seconds it took."""
        with tempfile.NamedTemporaryFile("w", suffix=".streams") as file:
            file.write("\n".join(f"{token} {path}" for token, path in streams))
            file.flush()
            self._say(f"open {file.name}")
            return self._answer()["seconds"]

    @contextmanager
    def expect(self, name: str) -> Iterator[dict[str, float]]:
        """Wait, at the end of the block, until every stream has one more event of this name.

        What the block gets is then filled with the wall-clock times at which half of them and the last one had it.
        """
        told: dict[str, float] = {}
        self._say(f"wait {name}")
        self._answer()
        yield told
        told |= self._answer()

    def reset(self, count: int) -> None:
        """Have so many of them die at once."""
        self._say(f"close {count}")
        self._answer()

    def close(self) -> None:
        self._popen.kill()
        self._popen.communicate()

    def _say(self, command: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(command + "\n")
        self._popen.stdin.flush()

    def _answer(self) -> dict[str, float]:
        assert self._popen.stdout is not None
        answer: dict[str, float] = json.loads(self._popen.stdout.readline())
        return answer
