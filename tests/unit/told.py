"""A session as the server tells a client of it."""

from typing import Any


def told(session_id: str = "s1", object_id: str = "A", **more: Any) -> dict[str, Any]:
    """Return the payload of a session of ada's workstation w1."""
    return {
        "session_id": session_id,
        "item_id": "i1",
        "part_number": "P",
        "context_level": "sketch",
        "object_id": object_id,
        "user": "ada",
        "workstation": {"id": "w1", "name": "cad-1"},
        "fencing_token": 1,
        "acquired_at": "2026-01-01T10:00:00Z",
        **more,
    }
