"""The parameters in the paths of the API."""

from typing import Any

from django.urls import register_converter
from django.urls.converters import StringConverter

from sessions_app.payloads import examples


class PartNumberConverter(StringConverter):
    """A part number may contain slashes, which arrive here already decoded.

    Unlike Django's own `path` it accepts a line feed here, so that the API refuses it as any other control character.
    """

    regex = r"[\s\S]+"


register_converter(PartNumberConverter, "part_number")

OF_ITEM = "/items/{part_number:part_number}"

# How the API's description explains a parameter of this name, in every operation.
DESCRIBED: dict[str, dict[str, Any]] = {
    "part_number": {
        "description": "The part number, percent-encoded: a slash in it is `%2F`, a space `%20`.",
        "example": examples.PART_NUMBER,
    },
    "session_id": {"description": "The edit session.", "example": examples.SESSION_ID},
    "workstation_id": {"description": "The workstation.", "example": examples.WORKSTATION_ID},
    "token_id": {"description": "The bearer token.", "example": examples.TOKEN_ID},
    "request_id": {"description": "The place in line.", "example": examples.REQUEST_ID},
}
