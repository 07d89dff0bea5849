"""The JSON of answers and events: each shape is declared once, beside the function that builds it.

API, event streams, the API's description and its examples all come from here. To add a member to an object, add it to
its shape and to the function beside it.
"""

from sessions_app.payloads.ended import ended_json
from sessions_app.payloads.events import (
    acquired_event,
    active_event,
    away_event,
    back_event,
    end_events,
    grant_events,
    handoff_requested_event,
    idle_event,
    interference_event,
    renamed_event,
    resolved_event,
    restored_event,
    retired_event,
)
from sessions_app.payloads.in_use import in_use_json
from sessions_app.payloads.item import item_json, workstation_json
from sessions_app.payloads.place import line_events, place_json, standing_json
from sessions_app.payloads.session import (
    acquired_json,
    held_item_json,
    holder_json,
    listed_json,
    verified_json,
)

__all__ = [
    "acquired_event",
    "acquired_json",
    "active_event",
    "away_event",
    "back_event",
    "end_events",
    "ended_json",
    "grant_events",
    "handoff_requested_event",
    "held_item_json",
    "holder_json",
    "idle_event",
    "in_use_json",
    "interference_event",
    "item_json",
    "line_events",
    "listed_json",
    "place_json",
    "renamed_event",
    "resolved_event",
    "restored_event",
    "retired_event",
    "standing_json",
    "verified_json",
    "workstation_json",
]
