"""The event streams in the API's description. `silo/asgi.py` routes them before Django, so nothing here serves them."""

import json
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Header, Query, Router, Schema
from pydantic import Field

from sessions_app.api import paths
from sessions_app.api.answers import answers
from sessions_app.api.fields import Machine, PartNumber
from sessions_app.api.request_schemas import StreamIn
from sessions_app.authentication import VIEWER
from sessions_app.errors import IdentityInUse, NotFound, StreamsNotServed, TooManyStreams
from sessions_app.payloads import examples
from sessions_app.payloads.events import EVENTS, StreamOpenEvent
from sessions_app.stream_grants import MAX_ITEMS

router = Router(tags=["event streams"])

EXAMPLE = (
    f"retry: 3127\nevent: stream-open\nid: {examples.CURSOR}\ndata: {json.dumps(StreamOpenEvent.example())}\n\n"
    "event: heartbeat\ndata: {}\n\n"
    ": keep-alive 0.012\n\n"
)
# JSON Schema cannot describe a stream: it is described as text, and `x-events` names the schema of each payload.
STREAM = {
    "description": "The stream: events and comment lines until client or server close it.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": EXAMPLE,
            "x-events": {
                name: {"$ref": f"#/components/schemas/{schema.__name__}"}
                for name, schema in EVENTS.items()
            },
        }
    },
}
DESCRIBED: dict[str, Any] = {
    "auth": VIEWER,
    "response": answers({200: None}, NotFound, IdentityInUse, TooManyStreams, StreamsNotServed),
    "openapi_extra": {"responses": {200: STREAM}},
}


class StreamQuery(Schema):
    workstation_id: UUID | None = Field(
        None,
        description="A workstation of the caller. The stream keeps it present, and carries the events for it and those"
        " of every item that it holds a session on.",
        examples=[examples.WORKSTATION_ID],
    )
    all: bool = Field(False, description="Watch every item.")
    ack: bool = Field(
        False,
        description="The client calls `alive` after each heartbeat, and counts as departed when it does not. Needs"
        " `workstation_id`. For clients behind a proxy that hides a dead peer.",
    )
    last_event_id: str = Field(
        "", description="As the header `Last-Event-ID`, for the first request of a browser."
    )


class EventsQuery(StreamQuery):
    item: list[PartNumber] = Field(
        [],
        max_length=MAX_ITEMS,
        description="Watch this item too; a POST takes more of them.",
        examples=[[examples.PART_NUMBER]],
    )


LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        description="The id of the last event that the client has read. It gets all events after that one, or"
        " `stream-reset` where the event log no longer reaches back.",
    ),
]


@router.get("/events", **DESCRIBED)
def events(
    request: HttpRequest,
    query: Query[EventsQuery],
    last_event_id: LastEventId = "",
    machine: Machine = "",
) -> None:
    """Follow events, as server-sent events.

    The request needs `workstation_id`, `item` or `all=true`. The stream begins with `stream-open`. `heartbeat` comes at
    once and then every 30 s, a comment line at least every 10 s. The number in a comment line is the age of the stream,
    in seconds since the server got the request: up to that moment the stream certainly kept the workstation present.
    Every event but `heartbeat` has an `id`, opaque to clients. A workstation has at most eight streams on a server, and
    a user a limited number of streams that only watch; one more is answered 429 with `Retry-After`. A browser's
    `EventSource` takes 429 as final: its page has to open another one later. A long payload comes in several `data:`
    lines, none over 32 kB. `retry` says when a browser reconnects. `x-events` names the schema of each payload.
    """
    raise _not_here()


@router.post("/events", **DESCRIBED)
def events_of_many(
    request: HttpRequest, body: StreamIn, last_event_id: LastEventId = "", machine: Machine = ""
) -> None:
    """Follow events, where the list of items is too long for a request line.

    The stream is the same as that of a GET with these parameters, and the request changes nothing. With a login session
    it needs `X-CSRFToken`, as every POST does.
    """
    raise _not_here()


@router.get(paths.OF_ITEM + "/events", **DESCRIBED)
def events_of_item(
    request: HttpRequest,
    part_number: PartNumber,
    query: Query[StreamQuery],
    last_event_id: LastEventId = "",
    machine: Machine = "",
) -> None:
    """Follow the events of one item, as server-sent events; see `/api/events`."""
    raise _not_here()


def _not_here() -> StreamsNotServed:
    return StreamsNotServed("Event streams are served by `manage.py serve` only.")
