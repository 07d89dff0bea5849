"""Peers that are programs of their own: found on the PATH or absent, started in an empty folder, ended."""

import shutil
from pathlib import Path

from benchmarks.processes import Background, answers, free_port
from benchmarks.subject import Absent, Subject


class Program(Subject):
    """A peer's one program, listening on a port of its own.

    Args:
        folder: an empty folder for its data.
        program: its name.
        others: further programs and files that it needs.
    """

    def __init__(self, folder: Path, program: str, *others: str) -> None:
        for needed in (program, *others):
            if not (shutil.which(needed) or Path(needed).exists()):
                raise Absent(f"there is no {needed}")
        folder.mkdir(mode=0o755)
        self.folder = folder
        self.port = free_port()
        self._process = Background(*self.command(), log=folder / "log", cwd=folder)
        try:
            self._process.wait_until(self.is_ready)
        except RuntimeError as error:
            self._process.close()
            raise Absent(str(error)) from error

    def command(self) -> list[str]:
        """Return how it is started; may write its configuration into `folder`."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Return whether it can be used."""
        return answers(self.port)

    @property
    def pids(self) -> list[int]:
        return [self._process.pid]

    def close(self) -> None:
        self._process.close()
