"""Asking the server about sessions that are unconfirmed: whether the workstation still holds them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from silo_client.api import Api
from silo_client.common.visible import get_logger
from silo_client.data import Lost
from silo_client.errors import AuthenticationError, ClosedError, ForbiddenError, SiloError
from silo_client.network.time_limit import until
from silo_client.sessions.conflicts import ConflictChange
from silo_client.sessions.edit_session import EditSession
from silo_client.sessions.held import HeldSessions

logger = get_logger()

RETRY_SECONDS = 0.5
FOREVER = float("inf")


class Reconciler:
    """Compares unconfirmed sessions with the server's list.

    Args:
        api: the server.
        workstation_id: the workstation.
        held: the sessions of this process.
        on_lost: called with each session that is lost.
        on_changes: called with the conflicts that changed since the list before.
    """

    def __init__(
        self,
        api: Api,
        workstation_id: str,
        held: HeldSessions,
        on_lost: Callable[[EditSession], Any],
        on_changes: Callable[[list[ConflictChange]], Any],
    ) -> None:
        self._api = api
        self._workstation_id = workstation_id
        self._held = held
        self._on_lost = on_lost
        self._on_changes = on_changes
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wanted = False

    def soon(self) -> None:
        """Ask about all unconfirmed sessions, in a thread of its own."""
        with self._lock:
            self._wanted = True
            if self._held.unconfirmed and not (self._thread and self._thread.is_alive()):
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="silo reconcile"
                )
                self._thread.start()

    def now(self, deadline: float = FOREVER) -> None:
        """Ask until no session is unconfirmed, or `time.monotonic` is at the deadline."""
        while self._held.unconfirmed and time.monotonic() < deadline:
            try:
                with until(deadline):
                    self._ask(self._held.unconfirmed)
            except (AuthenticationError, ForbiddenError, ClosedError):
                # The server will never answer: the sessions stay unconfirmed.
                return
            except SiloError:
                time.sleep(max(0.0, min(RETRY_SECONDS, deadline - time.monotonic())))

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                self._wanted = False
            try:
                self.now()
            except Exception:
                logger.exception("unconfirmed sessions could not be compared with the server's")

    def _ask(self, unconfirmed: Mapping[EditSession, int]) -> None:
        listed, _ = self._api.sessions(workstation=self._workstation_id)
        by_id = {payload["session_id"]: payload for payload in listed}
        for session, mark in unconfirmed.items():
            if session.id in by_id:
                self._on_changes(self._held.confirm(session, mark, by_id[session.id]))
            elif self._held.lose(session, self._how_it_ended(session)):
                self._on_lost(session)

    def _how_it_ended(self, session: EditSession) -> Lost:
        with suppress(SiloError):
            records = self._api.history(
                item=session.part_number, workstation=self._workstation_id, limit=100
            )
            for record in records:
                if record["session_id"] == session.id:
                    return Lost(record["reason"], record["ended_by"], record["note"])
        return Lost("unknown")
