"""Registering a workstation, and noticing that this machine is a copy of another one that runs."""

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
from silo_client.identity.folders import state_folder
from silo_client.identity.installation import installation
from silo_client.identity.instances import Instance
from silo_client.identity.machine_identity import Identity, KeptIdentity
from silo_client.network.time_limit import TimeLimit

logger = get_logger()

# Between two tries, while the other machine may be this one before it was started anew.
RETRY_SECONDS = 1.0
# For a server that is a little late.
MARGIN_SECONDS = 5.0


@dataclass(frozen=True)
class Registration:
    """A registered workstation, of which this process is an instance.

    Args:
        workstation: the workstation, as the server answered it.
        instance: this process as an instance of it.
        running: the name of this running machine, for its streams.
        kept: the machine's identity, in case its files are deleted.
        copied_from: the workstation whose machine this one is a copy of; "" if it is no copy.
    """

    workstation: Mapping[str, Any]
    instance: Instance
    running: str
    kept: KeptIdentity
    copied_from: str = ""

    def renew(self) -> None:
        """Write again the files of the state folder that were deleted. Where that fails, it is logged."""
        try:
            self.kept.restore()
            self.instance.renew()
        except SiloError as error:
            logger.warning("deleted files of the state folder cannot be written again: %s", error)
        else:
            logger.warning("deleted files of the state folder were written again")


def register(
    api: Api,
    limit: TimeLimit,
    patience: float,
    name: str,
    program: str,
    fingerprint: str,
    *,
    numbered: bool,
) -> Registration:
    """Register the workstation, with a new identity if another running machine has this one.

    Args:
        api: the server.
        limit: how long to try. It begins anew with each wait for another machine, which is no wait for the server.
        patience: the limit's seconds.
        name, program, fingerprint, numbered: those of `Workstation.connect`.

    Raises:
        IdentityInUseError: another machine is the workstation with this `fingerprint`.
    """
    copied_from, refused_at = "", None
    while True:
        one = machine_identity.current()
        running = machine.running_name(state_folder())
        attempt = _Attempt(api, limit, running, one, name, program, fingerprint)
        try:
            workstation, instance = attempt.numbered() if numbered else attempt.only()
            return Registration(
                workstation, instance, running, KeptIdentity(one, installation()), copied_from
            )
        except IdentityInUseError as error:
            refused_at = clock.now() if refused_at is None else refused_at
            if _may_be_this_one(error, refused_at):
                logger.info(
                    "waiting: the other machine may be this one before its restart: %s", error
                )
                # Before the pause, in which the caller looks whether the time is over.
                limit.ends = time.monotonic() + RETRY_SECONDS + patience
                time.sleep(RETRY_SECONDS)
                continue
            if fingerprint:
                raise _two_of_one_fingerprint(error) from error
            machine_identity.renew(one, attempt.free_number())
            copied_from, refused_at = error.workstation, None
            logger.warning(
                "another machine is connected as %s: this one is a copy of it, and has an identity of its own now",
                copied_from,
            )


def _may_be_this_one(error: IdentityInUseError, refused_at: float) -> bool:
    """Whether the other machine may be this one before its restart.

    A connected machine is another one if this one has run for longer than a server takes to notice a dead connection.
    Of a machine that is not connected nothing is known until its time to come back is over.
    """
    since = 0.0 if error.connected else refused_at
    return clock.now() < since + error.seconds + MARGIN_SECONDS


def _two_of_one_fingerprint(error: IdentityInUseError) -> IdentityInUseError:
    return error.saying(
        f"Two machines use the fingerprint that was given, of the workstation {error.workstation}:"
        " give each machine a fingerprint of its own, or leave `fingerprint` out."
    )


@dataclass(frozen=True)
class _Attempt:
    """One try to register, with one identity."""

    api: Api
    limit: TimeLimit
    running: str
    identity: Identity
    name: str
    program: str
    fingerprint: str

    def only(self) -> tuple[Mapping[str, Any], Instance]:
        """Register the workstation of the program."""
        workstation = self._register(
            self.program, self.fingerprint or default_fingerprint(self.program, self.identity)
        )
        return workstation, Instance(workstation["id"])

    def numbered(self) -> tuple[Mapping[str, Any], Instance]:
        """Register the program's first numbered workstation that no other process is an instance of."""
        for number in count(1):
            one = f"{self.program} {number}".strip()
            given = f"{self.fingerprint} {number}" if self.fingerprint else ""
            workstation = self._register(one, given or default_fingerprint(one, self.identity))
            with suppress(NoWindowError):
                return workstation, Instance(workstation["id"], most=1)
        raise AssertionError("there is always another number")

    def free_number(self) -> int:
        """Return the first number that no workstation of the user has in its name."""
        names = [str(one["name"]) for one in self.api.workstations()]
        for number in count(1):
            shown = default_name("", number, self.name)
            if not any(name == shown or name.startswith(f"{shown} (") for name in names):
                return number
        raise AssertionError("there is always another number")

    def _register(self, program: str, fingerprint: str) -> Mapping[str, Any]:
        shown = default_name(program, self.identity.number, self.name)
        return self.api.register(shown, fingerprint, self.limit.deadline, self.running)
