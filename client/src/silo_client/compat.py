"""The names that existing Silo clients use: `SiloClient` with its calls of edit sessions.

For programs that have a stream of their own, or none. New ones use `Workstation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from silo_client.api import Api
from silo_client.data import EditSessionResult, Wanted


class SiloClient:
    """Calls of a Silo server, without a connection.

    Args:
        url: the server's address.
        token: a bearer token.
        ca_file: the certificates to trust, in a PEM file; the usual ones without it.
    """

    def __init__(self, url: str, token: str, ca_file: str | None = None) -> None:
        self.api = Api(url, token, ca_file)

    def acquire_edit_session(
        self,
        part_number: str,
        workstation_id: str,
        context_level: str,
        object_id: str | None = None,
        dependency_cone: Sequence[str] | None = None,
        connection_id: str | None = None,
    ) -> EditSessionResult:
        """Acquire an edit session.

        Raises:
            HardInterferenceError: another workstation has it; its `holder` says which.
        """
        wanted = Wanted(part_number, context_level, object_id or "", tuple(dependency_cone or ()))
        answer = self.api.acquire(wanted, workstation_id, connection_id)
        return EditSessionResult(
            session_id=str(answer["session_id"]),
            interference=str(answer["interference"]),
            fencing_token=int(answer["fencing_token"]),
            existing=bool(answer.get("existing", False)),
            conflicts=list(answer.get("conflicts", ())),
            session=answer,
        )

    def release_edit_session(self, part_number: str, session_id: str) -> None:
        """Release an edit session of one's own."""
        self.api.release(part_number, session_id)

    def get_edit_sessions(self, part_number: str) -> list[dict[str, Any]]:
        """Return the active sessions on an item."""
        return list(self.api.sessions_of(part_number)["sessions"])

    def request_handoff(self, part_number: str, session_id: str, message: str = "") -> None:
        """Ask the holder of a session to hand it over."""
        self.api.request_handoff(part_number, session_id, message)

    def close(self) -> None:
        """Close its connections."""
        self.api.close()
