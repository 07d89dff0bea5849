"""The world of all examples: one engineer, one part, one session. The tests make it exist and call the API with it."""

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
LEVEL, OTHER_LEVEL = "sketch", "partdesign"
OBJECT_ID, OTHER_OBJECT_ID = "Sketch001", "Pad001"
NOTE = "Until Friday, with the supplier."
REASON = "On holiday, and the drawing is due."
FENCING_TOKEN = 8_000_042
TOKEN = "silo_Wk3x9AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_"  # noqa: S105  (an example)
TOKEN_ID = 7
TOKEN_NAME = "CAD plug-in"  # noqa: S105  (what it is for)
EXPIRES_AT = "2026-03-04T09:30:00.000000Z"
CURSOR = "5d41402a-1027"
ACQUIRED_AT = "2025-03-04T09:30:00.000000Z"
LATER = "2025-03-04T10:15:30.250000Z"

WORKSTATION_NAME, OTHER_WORKSTATION_NAME = "cad-1", "cad-2"
OTHER_WORKSTATION = {"id": OTHER_WORKSTATION_ID, "name": OTHER_WORKSTATION_NAME}
DESCRIPTION = "Hexagon socket screw"
ITEM_TYPE = "part"
FINGERPRINT = "8d3f1c52"
OLD_PART_NUMBER = "DIN 912-M5"
MESSAGE = "The drawing is due."
