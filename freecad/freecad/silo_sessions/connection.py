"""The connection of this FreeCAD to the server: everything that asks it, in the worker's thread."""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

from silo_client import (
    ApiError,
    Conflict,
    EditSession,
    HandoffRequest,
    Holder,
    ServerUnavailableError,
    SiloError,
    Waiting,
    Watched,
    Workstation,
)
from silo_client.credentials import (
    CA_FILE_VARIABLE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    Login,
    by_password,
    by_token,
    current,
    store,
)

from .places import Place
from .worker import Outcome, Post, Then, Worker

logger = logging.getLogger("silo_client.freecad")

# What distinguishes the workstations of several programs on one machine.
PROGRAM = "FreeCAD"
# An acquire or a release goes on trying for so long, so that the next one of the worker is not far.
PATIENCE_SECONDS = 1.0
# The first connection may take longer, in the background; it is tried again.
CONNECT_SECONDS = 5.0
# At the end of FreeCAD, which closes the window first.
CLOSE_SECONDS = 2.0


class Listener(Protocol):
    """Gets what the server says. Its methods are called in the GUI thread."""

    def on_open(self) -> None:
        """The workstation was connected, for the first time or after a new log-in."""

    def on_failed(self, why: Exception) -> None:
        """It could not be connected, or the server refuses it for good."""

    def on_lost(self, session: EditSession) -> None:
        """A session was lost."""

    def on_conflict(self, session: EditSession, conflict: Conflict) -> None:
        """A conflict of a session has begun."""

    def on_asked(self, request: HandoffRequest) -> None:
        """Another user asks for a session."""

    def on_state(self) -> None:
        """The connection was interrupted, or is there again; or it is certain again what is held."""

    def on_change(self) -> None:
        """The picture of the watched parts has changed."""


@dataclass(frozen=True)
class LogInForm:
    """What the user gives to log in: a token, or user and password.

    Args:
        url: the server's URL.
        token: "" to have the server make one for user and password.
        user, password: of the account; not kept.
        ca_file: a PEM file of the certificates to trust; "" for what is kept for this server, or the usual ones.
    """

    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""

    def login(self) -> Login:
        """Ask the server; see `by_token` and `by_password` for the errors."""
        url, token = self.url.strip(), self.token.strip()
        ca_file = self.ca_file.strip() or kept_ca_file(url)
        if token or not self.user.strip():
            return by_token(url, token, ca_file)
        name = f"{PROGRAM} on {platform.node() or 'a machine'}"
        return by_password(url, self.user.strip(), self.password, ca_file, name=name)


def is_private(url: str) -> bool:
    """Whether others on the network cannot read what is sent to a server: by https, or to this machine."""
    try:
        parts = urlsplit(url.strip())
        if parts.scheme != "http" or parts.hostname == "localhost":
            return True
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def kept_ca_file(url: str) -> str | None:
    """Return the file of certificates that is kept for a server, or that the environment names."""
    # An empty token: the file that is kept is read.
    wanted = {URL_VARIABLE: url, TOKEN_VARIABLE: ""}
    try:
        return current(os.environ | wanted).ca_file
    except SiloError:
        return os.environ.get(CA_FILE_VARIABLE)


class Left(Exception):
    """The user has left the line."""


class Connection:
    """The workstation, and the thread that asks the server.

    Args:
        post: has a function called in the GUI thread.
        listener: gets what the server says.
        python: the interpreter of the helper; None for FreeCAD's own.
    """

    def __init__(self, post: Post, listener: Listener, python: str | None = None) -> None:
        self._post = post
        self._listener = listener
        self._python = python
        self._worker = Worker(post)
        self._workstation: Workstation | None = None
        self._closed = threading.Event()
        # A start that is under way, or about to be.
        self._starting = threading.Event()
        self.url = ""
        self.user = ""
        # Why there is no workstation.
        self.why = "not connected yet"

    @property
    def connected(self) -> bool:
        """Whether the server certainly has this workstation's connection now."""
        workstation = self._workstation
        return workstation is not None and workstation.connected

    @property
    def open(self) -> bool:
        """Whether there is a workstation, which connects again by itself."""
        return self._workstation is not None

    def start(self) -> None:
        """Connect in the background, with the log-in that is kept. Does nothing where there is a workstation."""
        if self._starting.is_set():
            return
        self._starting.set()

        def task() -> None:
            try:
                if self._workstation is None:
                    self._connect(current)
            except Exception:
                logger.debug("not connected", exc_info=True)  # The listener was told.
            finally:
                self._starting.clear()

        self._worker.do(task)

    def log_in(self, form: LogInForm, then: Then[None]) -> None:
        """Connect with another log-in; keep it if the server accepts it, else all stays as it is."""

        def task() -> None:
            # Before the present workstation is closed, which releases everything.
            login = form.login()
            self._connect(lambda: login)
            store(login)

        self._worker.do(task, then)

    def _connect(self, find: Callable[[], Login]) -> None:
        if self._closed.is_set():
            return
        old, self._workstation = self._workstation, None
        if old is not None:
            old.close()
        try:
            login = find()
            self.url = login.url
            workstation = Workstation.connect(
                login.url,
                login.token,
                program=PROGRAM,
                ca_file=login.ca_file,
                patience=CONNECT_SECONDS,
                cancel=self._closed,
                dispatch=self._post,
                python=self._python,
                on_lost=lambda session, how: self._listener.on_lost(session),
                on_conflict=self._listener.on_conflict,
                on_conflict_over=lambda session, other: self._listener.on_change(),
                on_handoff_request=self._listener.on_asked,
                on_state=lambda connected, valid: self._listener.on_state(),
                on_change=lambda watched, numbers: self._listener.on_change(),
                on_refused=self._refused,
            )
        except Exception as error:
            self._fail(error)
            raise
        with suppress(ServerUnavailableError, ApiError):
            self.user = str(workstation.api.call("GET", "/api/me").json()["user"])
        self._workstation, self.why = workstation, ""
        self._post(self._listener.on_open)

    def _fail(self, error: Exception) -> None:
        self.why = str(error)
        self._post(lambda: self._listener.on_failed(error))

    def _refused(self, error: Exception) -> None:
        """The server refuses the workstation for good: its token was withdrawn, say. Runs in the GUI thread."""
        self.why = str(error)
        workstation, self._workstation = self._workstation, None
        if workstation is not None:
            self._worker.do(lambda: workstation.close(patience=PATIENCE_SECONDS))
        self._listener.on_failed(error)

    def _there(self) -> Workstation:
        if self._workstation is None:
            raise SiloError(self.why)
        return self._workstation

    # -- sessions --

    def _acquire(self, place: Place) -> EditSession:
        lock = place.lock
        return self._there().edit(
            lock.part_number,
            level=lock.level,
            object_id=lock.object_id,
            cone=place.cone,
            patience=PATIENCE_SECONDS,
        )

    def acquire(
        self, place: Place, seconds: float, late: Then[EditSession]
    ) -> Outcome[EditSession] | None:
        """See `interfaces.Server`."""
        return self._worker.ask(lambda: self._acquire(place), seconds, late)

    def acquire_later(self, place: Place, then: Then[EditSession]) -> None:
        """See `interfaces.Server`."""
        self._worker.do(lambda: self._acquire(place), then)

    def release(self, session: EditSession) -> None:
        """See `interfaces.Server`."""
        self._worker.do(lambda: session.release(patience=PATIENCE_SECONDS))

    def leave(self, session: EditSession) -> None:
        """See `interfaces.Server`."""
        self._worker.do(lambda: session.__exit__())

    def hand_over(self, session: EditSession, workstation_id: str, then: Then[None]) -> None:
        """See `interfaces.Server`."""
        self._worker.do(lambda: session.hand_over(workstation_id), then)

    def ask(self, place: Place, holder: Holder, message: str, then: Then[None]) -> None:
        """See `waits.Lines`."""
        number = place.lock.part_number
        self._worker.do(
            lambda: self._there().request_handoff(
                holder.session_id, number, message, patience=PATIENCE_SECONDS
            ),
            then,
        )

    def wait(
        self, place: Place, ask: str, report: Callable[[Waiting], Any], then: Then[EditSession]
    ) -> Callable[[], None]:
        """Stand in line until the turn comes, in a thread of its own.

        Args:
            place: what is waited for.
            ask: if not "", the holder is asked for a hand-over, with this message.
            report: called in the GUI thread when the place in line or the holder has changed.
            then: called in the GUI thread with the session, or with `Left`.

        Returns:
            a function that leaves the line.
        """
        left = threading.Event()
        known: list[Any] = [None]

        def on_wait(waiting: Waiting) -> None:
            if left.is_set() or self._closed.is_set():
                raise Left
            now = waiting.position, waiting.holder
            if known[0] != now:
                known[0] = now
                self._post(lambda: report(waiting))

        def run() -> None:
            lock = place.lock
            try:
                session = self._there().edit(
                    lock.part_number,
                    level=lock.level,
                    object_id=lock.object_id,
                    cone=place.cone,
                    wait=True,
                    on_wait=on_wait,
                    ask=ask,
                )
            except Exception as error:
                outcome = Outcome[EditSession](error=error)
            else:
                outcome = Outcome(value=session)
            self._post(lambda: then(outcome))

        threading.Thread(target=run, daemon=True, name="silo line").start()
        return left.set

    # -- parts --

    def watch(self, part_numbers: list[str]) -> None:
        """Watch who holds and who waits for parts, in place of those before."""
        if self._workstation is not None:
            workstation = self._workstation
            self._worker.do(lambda: workstation.watch(part_numbers))

    @property
    def watched(self) -> Watched:
        """The present picture of the watched parts."""
        return self._workstation.watched if self._workstation else Watched()

    def create_part(self, part_number: str, then: Then[Any]) -> None:
        """Have the server know a part number."""
        self._worker.do(lambda: self._there().api.create_item(part_number), then)

    # -- presence and the end --

    def touched(self) -> None:
        """Note that somebody uses this FreeCAD."""
        if self._workstation is not None:
            self._workstation.touched()

    @property
    def workstation_id(self) -> str:
        """The id of the workstation, "" while there is none."""
        return self._workstation.id if self._workstation else ""

    def close(self) -> None:
        """Disconnect, which releases everything. Waits no longer than `CLOSE_SECONDS`."""
        self._closed.set()

        def task() -> None:
            workstation, self._workstation = self._workstation, None
            if workstation is not None:
                workstation.close(patience=PATIENCE_SECONDS)

        self._worker.do(task)
        self._worker.close(CLOSE_SECONDS)
