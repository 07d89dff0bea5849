"""The record of ended sessions as CSV, for the API and the admin site."""

from typing import Final

from sessions_app.csv_answer import Table, fields

COLUMNS: Final = (
    "session_id",
    "item_id",
    "part_number",
    "username",
    "workstation_id",
    "workstation_name",
    "context_level",
    "object_id",
    "fencing_token",
    "acquired_at",
    "last_heartbeat",
    "released_at",
    "reason",
    "ended_by",
    "note",
    "user_name",
    "session_note",
)
HISTORY: Final = Table(fields(*COLUMNS), "pk", "edit-sessions.csv")
