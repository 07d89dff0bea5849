"""An honest client beside an attack: `honest_program.py MODE URL TOKEN PART`. It tells what it sees, in lines of JSON.

Modes: `hold` keeps one edit session all the time; `loop` acquires and releases again and again; `turns` has two
workstations wait for each other in line.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from silo_client import EditSession, SiloError, Workstation

# Between two acquires, and between two looks at `valid`.
PAUSE_SECONDS = 0.1
# For a turn in line. A turn that does not come within it has failed.
TURN_SECONDS = 60.0


def tell(**what: Any) -> None:
    # Whole, whichever thread tells something else.
    os.write(1, f"{json.dumps(what)}\n".encode())


def connect(url: str, token: str) -> Workstation:
    workstation = Workstation.connect(
        url,
        token,
        numbered=True,
        on_lost=lambda session, lost: tell(lost=session.id, reason=lost.reason),
    )
    tell(connected=workstation.id)
    return workstation


def hold(workstation: Workstation, part: str) -> None:
    session = workstation.edit(part, level="sketch")
    tell(held=session.id)
    was = True
    while True:
        time.sleep(PAUSE_SECONDS)
        if session.valid != was:
            was = not was
            tell(valid=was)


def loop(workstation: Workstation, part: str) -> None:
    while True:
        begun = time.monotonic()
        try:
            session = workstation.edit(part, level="sketch")
            tell(acquired=session.id, seconds=time.monotonic() - begun)
            begun = time.monotonic()
            session.release()
            tell(released=session.id, seconds=time.monotonic() - begun)
        except SiloError as error:
            tell(failed=type(error).__name__, message=str(error), seconds=time.monotonic() - begun)
        time.sleep(PAUSE_SECONDS)


class Turn(threading.Thread):
    """Waits in line for what its `holder` has, who lets go as soon as it stands there."""

    def __init__(self, workstation: Workstation, part: str, holder: EditSession) -> None:
        super().__init__(daemon=True)
        self._workstation, self._part, self._holder = workstation, part, holder
        self._standing = threading.Event()
        self.session: EditSession | None = None

    def run(self) -> None:
        try:
            self.session = self._workstation.edit(
                self._part,
                level="sketch",
                wait=TURN_SECONDS,
                on_wait=lambda _: self._standing.set(),
            )
        except SiloError as error:
            tell(failed=type(error).__name__, message=str(error), seconds=TURN_SECONDS)
        self._standing.set()

    def take(self) -> EditSession | None:
        """Stand in line, have the holder release, and wait for the turn."""
        self.start()
        self._standing.wait()
        begun = time.monotonic()
        self._holder.release()
        tell(released=self._holder.id, seconds=time.monotonic() - begun)
        self.join()
        if self.session is not None:
            tell(acquired=self.session.id, seconds=time.monotonic() - begun)
        return self.session


def turns(first: Workstation, second: Workstation, part: str) -> None:
    session: EditSession | None = first.edit(part, level="sketch")
    while session is not None:
        first, second = second, first
        session = Turn(first, part, session).take()
        time.sleep(PAUSE_SECONDS)


def main(mode: str, url: str, token: str, part: str) -> None:
    workstation = connect(url, token)
    if mode == "turns":
        turns(workstation, connect(url, token), part)
    else:
        {"hold": hold, "loop": loop}[mode](workstation, part)


if __name__ == "__main__":
    main(*sys.argv[1:])
