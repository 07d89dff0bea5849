"""The end of `silo edit`: its command has ended, but processes that it started may still run."""

from __future__ import annotations

import signal

from silo_client.cli.editing.child import Child
from silo_client.cli.editing.descendants import names
from silo_client.cli.editing.guard import Guard
from silo_client.cli.output import WARNING, say
from silo_client.cli.signals import Terminated
from silo_client.data import Lock

# A command that opens a file in another program, as xdg-open does, takes moments. So does `cp`.
SHORT_SECONDS = 1.0
# A busy machine takes longer. With --until-closed, an unneeded Ctrl-C is better than a session lost too early.
OPENER_SECONDS = 10.0
LOOK_SECONDS = 0.5
ADVICE = "`silo edit --until-closed` holds the session until it is closed"


def report_leftover(lock: Lock, child: Child, code: int) -> None:
    """Say that the session ends with the command, though processes of it may still run."""
    if left := child.descendants.living():
        say(
            f"The command has left {names(left)} running, and {lock} is released. {ADVICE}.",
            WARNING,
        )
    elif child.seconds < SHORT_SECONDS and code == 0:
        say(
            f"The command ended within a second, and {lock} is released. If it has opened a file in another"
            f" program: {ADVICE}."
        )


def hold_until_closed(lock: Lock, child: Child, guard: Guard, code: int) -> None:
    """Hold the session after the command until the processes that it started end.

    Hold it until Ctrl-C where none can be seen: the command has passed a file to a program that was already running, or
    this system does not show them.
    """
    try:
        if left := child.descendants.living():
            say(
                f"The command has ended; {lock} is held until these processes end, or Ctrl-C: {names(left)}."
            )
            _wait_for_descendants(child, guard)
        elif _may_be_open(child, code):
            say(f"The command has ended; {lock} is held until Ctrl-C.")
            wait_until_ended(guard)
    except KeyboardInterrupt:
        pass


def wait_until_ended(guard: Guard) -> None:
    """Wait until a signal ends this process, or the session is lost."""
    try:
        # With a time-out, as Windows sees a Ctrl-C only then.
        while not guard.lost.wait(1.0):
            pass
    except KeyboardInterrupt:
        pass
    except Terminated as ended:
        if ended.number != signal.SIGTERM:
            raise


def _may_be_open(child: Child, code: int) -> bool:
    return code == 0 and (not child.descendants.can_be_seen or child.seconds < OPENER_SECONDS)


def _wait_for_descendants(child: Child, guard: Guard) -> None:
    # If the session is lost meanwhile, the guard says so, and ends the processes where that is wanted.
    while child.descendants.living():
        guard.pause(LOOK_SECONDS)
