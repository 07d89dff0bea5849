"""Registering a workstation, and noticing that this machine is a copy of one that lives."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from silo_client.api import Api
from silo_client.common import clock
from silo_client.common.visible import get_logger
from silo_client.errors import IdentityInUseError, NoWindowError, SiloError
from silo_client.identity import machine, machine_identity
from silo_client.identity.fingerprint import default_fingerprint, default_name
from silo_client.identity.instances import Window, installation, state_folder
from silo_client.identity.machine_identity import Identity, Kept

logger = get_logger()

# Between two tries, while the other machine may be this one before it was started anew.
RETRY_SECONDS = 1.0
# For a server that is a little late.
MARGIN_SECONDS = 5.0


@dataclass(frozen=True)
class Registered:
    """A workstation that this process is a window of.

    Args:
        told: the workstation, as the server says it.
        window: the window.
        running: the name of this running machine, for its streams.
        kept: what the machine's identity is, should it be deleted.
        copied_from: the name of the workstation that this machine turned out to be a copy of; "" if it did not.
    """

    told: Mapping[str, Any]
    window: Window
    running: str
    kept: Kept
    copied_from: str = ""

    def renew(self) -> None:
        """Make again what was deleted of the state folder while this process runs. Where that fails, it is logged."""
        try:
            self.kept.restore()
            self.window.renew()
        except SiloError as error:
            logger.warning(
                "what this process has in its state folder was deleted, and stays so: %s", error
            )
        else:
            logger.warning(
                "what this process has in its state folder was deleted, and is made again"
            )


def register(
    api: Api, patience: float, name: str, program: str, fingerprint: str, *, numbered: bool
) -> Registered:
    """Register the workstation, as another one if a living machine is it; see `Workstation.connect`.

    Args:
        api: of the server.
        patience: seconds for which to try while the server cannot be reached.
        name, program, fingerprint, numbered: of `connect`.

    Raises:
        IdentityInUseError: another machine is the workstation with this `fingerprint`.
    """
    copied_from, refused_at = "", None
    while True:
        one = machine_identity.current()
        running = machine.running_name(state_folder())
        asking = _Asking(api, time.monotonic() + patience, running, one, name, program, fingerprint)
        try:
            told, window = asking.numbered() if numbered else asking.only()
            return Registered(told, window, running, Kept(one, installation()), copied_from)
        except IdentityInUseError as error:
            refused_at = clock.now() if refused_at is None else refused_at
            if _may_be_this_one(error, refused_at):
                logger.info("waiting whether this machine was started anew: %s", error)
                time.sleep(RETRY_SECONDS)
                continue
            if fingerprint:
                raise _two_of_one_fingerprint(error) from error
            machine_identity.renew(one, asking.free_number())
            copied_from, refused_at = error.workstation, None
            logger.warning(
                "another machine is connected as %s: this one is a copy of it, and is a workstation of its own now",
                copied_from,
            )


def _may_be_this_one(error: IdentityInUseError, refused_at: float) -> bool:
    """Whether the other machine may be this one, before it was started anew.

    One that is connected is not, if this one has run for longer than a server takes the dead for living. Of one that
    is not connected nobody knows until it had its time to come back.
    """
    since = 0.0 if error.connected else refused_at
    return clock.now() < since + error.seconds + MARGIN_SECONDS


def _two_of_one_fingerprint(error: IdentityInUseError) -> IdentityInUseError:
    return error.saying(
        f"Two machines run under the fingerprint that was given, as the workstation {error.workstation}:"
        " give each machine one of its own, or leave `fingerprint` out."
    )


@dataclass(frozen=True)
class _Asking:
    """One try to register, as one identity."""

    api: Api
    deadline: float
    running: str
    identity: Identity
    name: str
    program: str
    fingerprint: str

    def only(self) -> tuple[Mapping[str, Any], Window]:
        """Register the workstation of the program."""
        told = self._register(
            self.program, self.fingerprint or default_fingerprint(self.program, self.identity)
        )
        return told, Window(told["id"])

    def numbered(self) -> tuple[Mapping[str, Any], Window]:
        """Register the first workstation of the program, by a number, that no other process is."""
        for number in count(1):
            one = f"{self.program} {number}".strip()
            given = f"{self.fingerprint} {number}" if self.fingerprint else ""
            told = self._register(one, given or default_fingerprint(one, self.identity))
            with suppress(NoWindowError):
                return told, Window(told["id"], most=1)
        raise AssertionError("there is always another number")

    def free_number(self) -> int:
        """Return the first number by which no workstation of the user is called."""
        names = [str(told["name"]) for told in self.api.workstations()]
        for number in count(1):
            shown = default_name("", number, self.name)
            if not any(name == shown or name.startswith(f"{shown} (") for name in names):
                return number
        raise AssertionError("there is always another number")

    def _register(self, program: str, fingerprint: str) -> Mapping[str, Any]:
        shown = default_name(program, self.identity.number, self.name)
        return self.api.register(shown, fingerprint, self.deadline, self.running)
