"""What is seen while one waits: for the server, for one's turn."""

from __future__ import annotations

from types import TracebackType

from rich.status import Status

from silo_client.cli.output import err, how_long, say, shown, when
from silo_client.data import Waiting


class Progress:
    """One line that changes on a terminal; elsewhere a line for each change. Used in a `with` block."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._told = ""

    def show(self, text: str, passing: str = "") -> None:
        """Show what is waited for.

        Args:
            text: said again only when it changes, where there is no terminal.
            passing: behind it on a terminal only: what changes all the time.
        """
        if not err.is_terminal:
            if text != self._told:
                say(text)
            self._told = text
            return
        line = shown(" ".join(part for part in (text, passing) if part))
        if self._status is None:
            self._status = err.status(line)
            self._status.start()
        else:
            self._status.update(line)

    def waiting(self, waiting: Waiting) -> None:
        """Show a place in line; what `on_wait` of `Workstation.edit` calls."""
        holder = waiting.holder
        whose = ""
        if holder is not None:
            whose = f" {holder.person} has been editing it on {holder.workstation} since {when(holder.acquired_at)}."
        text = f"In line for {waiting.lock}: place {waiting.position}.{whose}"
        self.show(text, f"Waiting for {how_long(waiting.seconds)}; Ctrl-C leaves the line.")

    def clear(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
