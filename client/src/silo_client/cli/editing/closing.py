"""What `silo edit` does when its command has ended, and what it opened may still be open."""

from __future__ import annotations

import signal

from silo_client.cli.editing.child import Child
from silo_client.cli.editing.descendants import names
from silo_client.cli.editing.guard import Guard
from silo_client.cli.output import WARNING, say
from silo_client.cli.signals import Terminated
from silo_client.data import Lock

# What opens a file by another program, as xdg-open does, takes moments. So does a copy, which may say nothing wrong.
SHORT_SECONDS = 1.0
# A machine that is busy takes longer. Whoever holds until it is closed would rather end it by Ctrl-C than lose it.
OPENER_SECONDS = 10.0
LOOK_SECONDS = 0.5
ADVICE = "`silo edit --until-closed` holds the session until that is closed"


def tell_what_is_left(lock: Lock, child: Child, code: int) -> None:
    """Say that the session ends with the command, though what it opened may be open."""
    if left := child.descendants.living():
        say(f"The command has left {names(left)}, and {lock} is released. {ADVICE}.", WARNING)
    elif child.seconds < SHORT_SECONDS and code == 0:
        say(
            f"The command ended within a second, and {lock} is released. If it has opened a file in another"
            f" program: {ADVICE}."
        )


def hold_until_closed(lock: Lock, child: Child, guard: Guard, code: int) -> None:
    """Hold the session after the command until what it has left ends.

    Where that cannot be known, until Ctrl-C: the command has handed a file to a program that was running already, or
    this system does not show what it leaves.
    """
    try:
        if left := child.descendants.living():
            say(f"The command has ended; editing {lock} until these do, or Ctrl-C: {names(left)}.")
            _wait_for_descendants(child, guard)
        elif _may_be_open(child, code):
            say(f"The command has ended; editing {lock} until Ctrl-C.")
            wait_until_ended(guard)
    except KeyboardInterrupt:
        pass


def wait_until_ended(guard: Guard) -> None:
    """Wait until somebody ends this process, or the session is lost."""
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
    # That the session is lost is said when it is, and ends what is left where that is wanted.
    none = 0
    while none < 2:
        guard.pause(LOOK_SECONDS)
        # One that ends while the list is read may hide another one.
        none = 0 if child.descendants.living() else none + 1
