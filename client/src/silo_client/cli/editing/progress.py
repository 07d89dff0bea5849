"""The line that is shown while waiting for the server, or for a turn."""

from __future__ import annotations

from rich.status import Status

from silo_client.cli.output import err, how_long, say, shown, when
from silo_client.data import Waiting


class Progress:
    """One line that changes on a terminal; elsewhere a line for each change. Used in a `with` block."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._last = ""

    def show(self, text: str, passing: str = "") -> None:
        """Show a text.

        Args:
            text: where there is no terminal, it is written again only when it changes.
            passing: shown behind it on a terminal only: text that changes all the time.
        """
        if not err.is_terminal:
            if text != self._last:
                say(text)
            self._last = text
            return
        line = shown(" ".join(part for part in (text, passing) if part))
        if self._status is None:
            self._status = err.status(line)
            self._status.start()
        else:
            self._status.update(line)

    def waiting(self, waiting: Waiting) -> None:
        """Show a place in line. This is an `on_wait` of `Workstation.edit`."""
        holder = waiting.holder
        whose = ""
        if holder is not None:
            whose = f" {holder.person} has been editing it on {holder.workstation} since {when(holder.acquired_at)}."
        text = f"In line for {waiting.lock}: place {waiting.position}.{whose}"
        self.show(text, f"Waiting for {how_long(waiting.seconds)}; Ctrl-C leaves the line.")

    def clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()
