"""Asking the server about sessions that are in doubt."""

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
from silo_client.sessions.conflicts import Change
from silo_client.sessions.edit_session import EditSession
from silo_client.sessions.held import Holdings

logger = get_logger()

RETRY_SECONDS = 0.5
FOREVER = float("inf")


class Settling:
    """Settles what is in doubt.

    Args:
        api: of the server.
        workstation_id: the workstation's.
        holdings: where sessions are in doubt.
        tell_lost: called with each that is lost.
        tell_changes: called with whom sessions meet since the list before, or no more.
    """

    def __init__(
        self,
        api: Api,
        workstation_id: str,
        holdings: Holdings,
        tell_lost: Callable[[EditSession], Any],
        tell_changes: Callable[[list[Change]], Any],
    ) -> None:
        self._api = api
        self._workstation_id = workstation_id
        self._holdings = holdings
        self._tell_lost = tell_lost
        self._tell_changes = tell_changes
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wanted = False

    def soon(self) -> None:
        """Settle everything, in a thread of its own."""
        with self._lock:
            self._wanted = True
            if self._holdings.doubted and not (self._thread and self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, daemon=True, name="silo doubts")
                self._thread.start()

    def now(self, deadline: float = FOREVER) -> None:
        """Ask until nothing is in doubt, or `time.monotonic` is at the deadline."""
        while self._holdings.doubted and time.monotonic() < deadline:
            try:
                self._ask(self._holdings.doubted)
            except (AuthenticationError, ForbiddenError, ClosedError):
                # Nobody will tell: they stay in doubt.
                return
            except SiloError:
                time.sleep(RETRY_SECONDS)

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
                logger.exception("what is in doubt could not be settled")

    def _ask(self, doubted: Mapping[EditSession, int]) -> None:
        told, _ = self._api.sessions(workstation=self._workstation_id)
        held = {one["session_id"]: one for one in told}
        for session, doubt in doubted.items():
            if session.id in held:
                self._tell_changes(self._holdings.settle(session, doubt, held[session.id]))
            elif self._holdings.lose(session, self._how_it_ended(session)):
                self._tell_lost(session)

    def _how_it_ended(self, session: EditSession) -> Lost:
        with suppress(SiloError):
            records = self._api.history(
                item=session.part_number, workstation=self._workstation_id, limit=100
            )
            for record in records:
                if record["session_id"] == session.id:
                    return Lost(record["reason"], record["ended_by"], record["note"])
        return Lost("unknown")
