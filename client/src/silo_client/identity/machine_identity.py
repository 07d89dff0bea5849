"""The identity of this machine for servers, kept in the state folder so that it stays the same.

Each machine that uses the folder (a home on a network may have several) has a file that lists its identities. The first
one has the host name of the machine's first start, whatever it is called later: the fingerprint is made of it.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from silo_client.identity import machine
from silo_client.identity.file_lock import FileLock
from silo_client.identity.folders import state_errors, state_folder
from silo_client.identity.installation import installation

# Other processes write a few lines under the lock.
LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Identity:
    """One of a machine's identities.

    Args:
        host: the host name of the machine when it got the identity.
        installation: a random name, so that no two machines have the same identity.
        number: distinguishes workstations of the same host name; 1 is not shown.
        running: the name of the running machine that used it last.
    """

    host: str
    installation: str
    number: int = 1
    running: str = ""


def current() -> Identity:
    """Return the identity of this machine.

    Raises:
        StateError: the state folder cannot be used.
    """
    first = installation()
    with state_errors():
        record, running = _Record(), machine.running_name(state_folder())
        chosen = record.choose(running)
        if chosen is None or chosen.running != running:
            with record.locked():
                chosen = record.choose(running) or Identity(platform.node(), first)
                chosen = record.put(chosen, replace(chosen, running=running))
        return chosen


def renew(taken: Identity, number: int) -> Identity:
    """Give this machine another identity; return it. Of several processes that do so, all get the same.

    Args:
        taken: the identity that another running machine has.
        number: the number of a new identity.

    Raises:
        StateError: the state folder cannot be used.
    """
    with state_errors():
        record, running = _Record(), machine.running_name(state_folder())
        with record.locked():
            chosen = record.choose(running)
            if chosen is not None and chosen.installation != taken.installation:
                return chosen  # another process was first
            return record.put(None, Identity(platform.node(), uuid.uuid4().hex, number, running))


@dataclass(frozen=True)
class KeptIdentity:
    """The identity as a process knows it, to write it again where its files were deleted.

    Args:
        identity: the identity.
        installation: the content of the file of that name.
    """

    identity: Identity
    installation: str

    def restore(self) -> None:
        """Write the files that are missing.

        Raises:
            StateError: the state folder cannot be used.
        """
        installation(self.installation)
        with state_errors():
            record = _Record()
            with record.locked():
                if not record.read():
                    machine.keep_running_name(state_folder(), self.identity.running)
                    record.put(None, self.identity)


class _Record:
    """The file of this machine's identities, the latest last."""

    def __init__(self) -> None:
        self._folder = state_folder()
        self._file = self._folder / f"machine-{machine.lasting_name()}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        file = self._folder / "machine.lock"
        lock = FileLock.take(file, LOCK_SECONDS)
        if lock is None:
            raise TimeoutError(f"another process has {file} locked for {LOCK_SECONDS:.0f} s")
        try:
            yield
        finally:
            lock.release()

    def read(self) -> list[Identity]:
        """Return the identities; none where the file is missing, or was cut short by a full disk."""
        try:
            return [Identity(**one) for one in json.loads(self._file.read_text("utf-8"))]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def choose(self, running: str) -> Identity | None:
        """Return the identity of this running machine; else the latest of this host name; else the latest.

        Several machines with the same lasting name may share the folder: diskless ones, for example.
        """
        known = self.read()
        host = platform.node()
        for likely in (
            [one for one in known if one.running == running],
            [one for one in known if one.host == host],
            known,
        ):
            if likely:
                return likely[-1]
        return None

    def put(self, old: Identity | None, new: Identity) -> Identity:
        """Write an identity in place of another, or as the latest; return it."""
        known = self.read()
        if old in known:
            known[known.index(old)] = new
        else:
            known.append(new)
        # Written whole before it gets its name: another process may read it now.
        with tempfile.TemporaryDirectory(dir=self._folder) as aside:
            file = Path(aside) / "new"
            with file.open("w", encoding="utf-8") as writing:
                json.dump([asdict(one) for one in known], writing)
                writing.flush()
                os.fsync(writing.fileno())
            file.replace(self._file)
        return new
