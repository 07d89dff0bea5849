"""The examples of the description: one engineer, one part, one session. The tests make them exist and call them."""

from typing import Any

from pydantic import ConfigDict

PART_NUMBER = "DIN 912/M5"
ITEM_ID = "0b9f6c1e-5d0a-4d3c-9a53-6f1f0c7a2b11"
WORKSTATION_ID = "7c0a4f2e-93d1-4b5c-8f6e-2d1b3a4c5e6f"
SESSION_ID = "3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a"
CONNECTION_ID = "c4d5e6f7-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
REQUEST_ID = "d2c3b4a5-1f0e-4d9c-8b7a-6f5e4d3c2b1a"
OTHER_SESSION_ID = "91e2d3c4-b5a6-4789-8abc-def012345678"
OTHER_WORKSTATION_ID = "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d"
USER, OTHER_USER = "ada", "bob"
USER_NAME, OTHER_USER_NAME = "Ada Lovelace", "Bob Noyce"
FENCING_TOKEN = 8_000_042
CURSOR = "5d41402a-1027"
ACQUIRED_AT = "2025-03-04T09:30:00.000000Z"
LATER = "2025-03-04T10:15:30.250000Z"

WORKSTATION_REF = {"id": WORKSTATION_ID, "name": "cad-1"}
OTHER_WORKSTATION_REF = {"id": OTHER_WORKSTATION_ID, "name": "cad-2"}

WORKSTATION_IN = {"name": "cad-1", "fingerprint": "8d3f1c52"}
WORKSTATION = {
    **WORKSTATION_IN,
    "id": WORKSTATION_ID,
    "last_seen": LATER,
    "created_at": ACQUIRED_AT,
}

ITEM_IN = {"part_number": PART_NUMBER, "description": "Hexagon socket screw", "item_type": "part"}
ITEM = {**ITEM_IN, "id": ITEM_ID, "created_at": ACQUIRED_AT, "retired_at": None}

ACQUIRE_IN = {
    "workstation_id": WORKSTATION_ID,
    "context_level": "sketch",
    "object_id": "Sketch001",
    "dependency_cone": ["Sketch001", "Pad001"],
    "note": "Until Friday, with the supplier.",
    "connection_id": CONNECTION_ID,
}
STREAM_IN = {"items": [PART_NUMBER], "last_event_id": CURSOR}
SESSION = {
    "id": SESSION_ID,
    "session_id": SESSION_ID,
    "item_id": ITEM_ID,
    "part_number": PART_NUMBER,
    "user": USER,
    "user_name": USER_NAME,
    "workstation": WORKSTATION_REF,
    "context_level": "sketch",
    "object_id": "Sketch001",
    "fencing_token": FENCING_TOKEN,
    "note": ACQUIRE_IN["note"],
    "connection_id": CONNECTION_ID,
    "acquired_at": ACQUIRED_AT,
    "last_heartbeat": LATER,
    "away_since": None,
    "idle_since": None,
}
MET = {
    "session_id": OTHER_SESSION_ID,
    "user": OTHER_USER,
    "user_name": OTHER_USER_NAME,
    "workstation": OTHER_WORKSTATION_REF,
    "context_level": "partdesign",
    "object_id": "Pad001",
}
HOLDER = {**MET, "note": "", "acquired_at": ACQUIRED_AT}
LISTED = {**SESSION, "interference": "soft", "interferes_with": [MET]}
HELD_ITEM = {"part_number": PART_NUMBER, **HOLDER}
CONFLICT = {**HOLDER, "shared": ["Pad001"]}
ACQUIRED = {
    **SESSION,
    "dependency_cone": ACQUIRE_IN["dependency_cone"],
    "interference": "soft",
    "existing": False,
    "conflicts": [CONFLICT],
}
BATCHED_IN = {
    "part_number": PART_NUMBER,
    **{
        name: ACQUIRE_IN[name] for name in ("context_level", "object_id", "dependency_cone", "note")
    },
}
BATCH_IN = {
    "workstation_id": WORKSTATION_ID,
    "connection_id": CONNECTION_ID,
    "sessions": [BATCHED_IN],
}
PLACE = {
    "id": REQUEST_ID,
    "request_id": REQUEST_ID,
    **{
        name: SESSION[name]
        for name in ("item_id", "part_number", "user", "user_name", "workstation")
    },
    "context_level": HOLDER["context_level"],
    "object_id": HOLDER["object_id"],
    "note": "",
    "connection_id": CONNECTION_ID,
    "position": 1,
    "requested_at": LATER,
}
STANDING = {**PLACE, "existing": False, "holder": HOLDER}
HANDOFF_REQUEST_IN = {"message": "The drawing is due.", "workstation_id": WORKSTATION_ID}
SESSIONS = {"sessions": [LISTED], "cursor": CURSOR, "next": None}

VERIFIED = {
    "user": USER,
    "user_name": USER_NAME,
    "workstation": WORKSTATION_REF,
    "item": PART_NUMBER,
    "context_level": "sketch",
    "object_id": "Sketch001",
}
# What no record has.
OF_ACTIVE = {"id", "note", "connection_id", "away_since", "idle_since"}
ENDED = {
    **{name: value for name, value in SESSION.items() if name not in OF_ACTIVE},
    "released_at": LATER,
    "reason": "force_released",
    "ended_by": OTHER_USER,
    "note": "On holiday, and the drawing is due.",
    "session_note": SESSION["note"],
}

# The defaults.
TIMINGS = {
    "heartbeat_seconds": 30.0,
    "keepalive_seconds": 8.0,
    "acknowledge_seconds": 13.75,
    "grace_seconds": 0.0,
    "safe_seconds": 22.5,
    "timeout_seconds": 900.0,
}

# What the parameters of this name in a path are, in every operation.
IN_PATH = {
    "part_number": {
        "description": "The part number, percent-encoded: a slash in it is `%2F`, a space `%20`.",
        "example": PART_NUMBER,
    },
    "session_id": {"description": "The edit session.", "example": SESSION_ID},
    "workstation_id": {"description": "The workstation.", "example": WORKSTATION_ID},
    "request_id": {"description": "The place in line.", "example": REQUEST_ID},
}


def shown(example: Any) -> ConfigDict:
    """Return the configuration of a schema that is described with this example."""
    return ConfigDict(json_schema_extra={"examples": [example]})
