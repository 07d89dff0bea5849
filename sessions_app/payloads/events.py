"""The events of streams: of each the shape of its payload, beside the function that builds the event."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field

from events_app.log.event_log import NewEvent
from sessions_app import channels
from sessions_app.models.ended_session import EndReason
from sessions_app.payloads import examples
from sessions_app.payloads.ended import ended_identity
from sessions_app.payloads.members import (
    Earlier,
    FullName,
    Interference,
    Later,
    OfItem,
    SharedKeys,
)
from sessions_app.payloads.place import LineChangedEvent
from sessions_app.payloads.session import (
    AcquiredOut,
    BegunSession,
    ListedOut,
    MetOut,
    SessionIdentity,
    acquired_json,
    begun_session,
    met_json,
    session_identity,
)
from sessions_app.payloads.shape import Example, Json, Shape
from sessions_app.text import name_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.abstract_edit_session import AbstractEditSession
    from sessions_app.models.ended_session import Record
    from sessions_app.models.item import Item
    from sessions_app.models.results import Acquired

Reason = Annotated[EndReason, Example(EndReason.RELEASED.value)]


class SessionAcquiredEvent(BegunSession):
    """To the watchers of the item."""

    interference: Interference = Field(
        description="Whether other sessions interfere with this one as it begins. The workstations concerned get"
        " `edit.interference`; nobody else has to be alarmed."
    )


def acquired_event(acquired: "Acquired", audience: Collection[str]) -> NewEvent:
    data = begun_session(acquired.session) | {"interference": acquired.interference}
    return NewEvent(audience, "edit.session_acquired", data)


class SessionGrantedEvent(AcquiredOut):
    """To the workstation whose turn in the line came, or to which the session was handed."""


def grant_events(
    granted: Collection["Acquired"], audiences: Mapping[uuid.UUID, set[str]]
) -> Iterator[NewEvent]:
    """Yield the events of sessions that began with a turn in the line, or with a hand-off.

    Args:
        granted: the sessions.
        audiences: by item, the channels of those who held sessions on it before; those of the new holders are added.
    """
    for acquired in granted:
        session = acquired.session
        own = channels.workstation(session.workstation_id)
        audience = audiences[session.item_id]
        audience.add(own)
        yield acquired_event(acquired, set(audience))
        yield NewEvent({own}, "edit.session_granted", acquired_json(acquired))
        if session.workstation.idle_since:
            # Lists show the workstation as idle, so an event has to say it too.
            yield idle_event(session, set(audience))


class EndedEvent(SessionIdentity, OfItem):
    """The members that the events of a session's end have."""


def _ended(record: "Record") -> Json:
    """Build `EndedEvent`."""
    item = {"item_id": record.item_id, "part_number": record.part_number}
    return item | ended_identity(record)


class SessionReleasedEvent(EndedEvent):
    """To the watchers of the item, and to the workstation that held the session."""

    reason: Reason
    released_at: Later
    acquired_at: Earlier


def released_event(record: "Record", holders: frozenset[str]) -> NewEvent:
    """Return `edit.session_released`.

    Args:
        record: of the session.
        holders: the channels of the workstations that still hold sessions on the item.
    """
    data = _ended(record) | {
        "reason": record.reason,
        "released_at": record.released_at,
        "acquired_at": record.acquired_at,
    }
    to = {channels.ALL, channels.item(record.item_id), *_holder_of(record)}
    return NewEvent(to, "edit.session_released", data, holders)


class ForceReleasedEvent(EndedEvent):
    """To the workstation that held the session."""

    by: Annotated[str, Example(examples.OTHER_USER)]
    reason: Annotated[str, Example(examples.REASON)]


def force_released_event(record: "Record") -> NewEvent:
    data = _ended(record) | {"by": record.ended_by, "reason": record.note}
    return NewEvent(_holder_of(record), "edit.force_released", data)


def end_events(
    records: Collection["Record"], holders: Mapping[uuid.UUID, Collection[uuid.UUID]]
) -> Iterator[NewEvent]:
    """Yield the events of the end of sessions.

    Args:
        records: the records of the sessions.
        holders: by item, the workstations that still hold sessions on it.
    """
    shared = {
        item: frozenset(map(channels.workstation, holders.get(item, ())))
        for item in {record.item_id for record in records}
    }
    for record in records:
        if record.reason == "force_released":
            yield force_released_event(record)
        yield released_event(record, shared[record.item_id])


class SessionAwayEvent(SessionIdentity):
    """To the watchers of the item. With a grace: the session's workstation has departed, or is back."""

    away_since: Earlier


def away_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_away`: its workstation has departed, and a grace runs."""
    return NewEvent(audience, "edit.session_away", _away(session))


def back_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_back`: its workstation came back before the grace was over."""
    return NewEvent(audience, "edit.session_back", _away(session))


def _away(session: "AbstractEditSession") -> Json:
    return session_identity(session) | {"away_since": session.workstation.away_since}


class SessionIdleEvent(SessionIdentity):
    """To the watchers of the item: the session's workstation is idle, or active again."""

    idle_since: Earlier


def idle_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_idle`: nobody has touched its workstation."""
    return NewEvent(audience, "edit.session_idle", _idle(session))


def active_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_active`: its workstation, which was idle since then, is active again."""
    return NewEvent(audience, "edit.session_active", _idle(session))


def _idle(session: "AbstractEditSession") -> Json:
    return session_identity(session) | {"idle_since": session.workstation.idle_since}


class HandoffRequestedEvent(SessionIdentity):
    """To the holder's workstation: another user asks for the session."""

    requester: Annotated[str, Example(examples.OTHER_USER)] = Field(description="A username.")
    requester_name: Annotated[FullName, Example(examples.OTHER_USER_NAME)]
    workstation_id: Annotated[UUID | None, Example(examples.OTHER_WORKSTATION_ID)] = Field(
        description="Where the requester wants it, if named."
    )
    message: Annotated[str, Example(examples.MESSAGE)]


def handoff_requested_event(
    session: "AbstractEditSession",
    requester: "User",
    workstation_id: uuid.UUID | None,
    message: str,
) -> NewEvent:
    data = session_identity(session) | {
        "requester": requester.get_username(),
        "requester_name": name_of(requester),
        "workstation_id": workstation_id,
        "message": message,
    }
    return NewEvent(_holder_of(session), "edit.handoff_requested", data)


class InterferenceEvent(SessionIdentity):
    """To each of the two workstations whose sessions begin to interfere softly, the earlier and the later one.

    The members of a session are those of the receiver's own. Either session has just begun or has another cone now. Of
    the meetings that begin in one transaction each side gets at most 5,000, but at least one for each of its sessions.
    """

    with_: MetOut = Field(alias="with", description="The other workstation's session.")
    shared: SharedKeys = Field(
        description="The node keys that both cones have: at most 100,000 in all events of one transaction to one side."
    )


def interference_event(
    session: "AbstractEditSession", other: "AbstractEditSession", shared: Sequence[str]
) -> NewEvent:
    """Return `edit.interference` for a session's workstation: another one's begins to interfere with it."""
    data = session_identity(session) | {"with": met_json(other), "shared": list(shared)}
    return NewEvent(_holder_of(session), "edit.interference", data)


class InterferenceResolvedEvent(SessionIdentity):
    """The session that interfered softly with this one has ended, or has another cone and no longer interferes.

    To the workstation that is left; where both go on, to both.
    """

    with_session_id: Annotated[UUID, Example(examples.OTHER_SESSION_ID)]


def resolved_event(session: "AbstractEditSession", with_session_id: uuid.UUID) -> NewEvent:
    """Return `edit.interference_resolved` for the workstation whose session is left."""
    data = session_identity(session) | {"with_session_id": with_session_id}
    return NewEvent(_holder_of(session), "edit.interference_resolved", data)


class ItemRenamedEvent(OfItem):
    """The item has another part number, or another spelling of its own; or another item was merged into it.

    To those who watch it, hold a session on it or stand in line for it.
    """

    old_part_number: Annotated[str, Example(examples.OLD_PART_NUMBER)]


def renamed_event(item: "Item", old: str, audience: Collection[str]) -> NewEvent:
    return NewEvent(audience, "item.renamed", _of(item) | {"old_part_number": old})


class ItemRetiredEvent(OfItem):
    """Nothing new begins on the item, and its lines are empty. Sessions on it go on."""

    retired_at: Later


def retired_event(item: "Item", audience: Collection[str]) -> NewEvent:
    return NewEvent(audience, "item.retired", _of(item) | {"retired_at": item.retired_at})


class ItemRestoredEvent(OfItem):
    """The item was retired, and can be edited again."""


def restored_event(item: "Item", audience: Collection[str]) -> NewEvent:
    return NewEvent(audience, "item.restored", _of(item))


def _of(item: "Item") -> Json:
    return {"item_id": item.pk, "part_number": item.part_number}


def _holder_of(session: "AbstractEditSession | Record") -> set[str]:
    return {channels.workstation(session.workstation_id)}


# -- events that the stream itself writes: `events_app/serving/stream.py` and `events_app/timings.py` build them --


class NothingEvent(Shape):
    """No members: the event's name is all that it says."""


class TimingsOut(Shape):
    """The server's timings, in seconds."""

    heartbeat_seconds: Annotated[float, Example(30.0)] = Field(
        description="Between two heartbeats."
    )
    keepalive_seconds: Annotated[float, Example(8.0)] = Field(
        description="The longest time between two lines."
    )
    acknowledge_seconds: Annotated[float, Example(13.75)] = Field(
        description="With `ack=true`: a client that sends no `alive` for so long after a heartbeat has departed."
    )
    grace_seconds: Annotated[float, Example(0.0)] = Field(
        description="How long a departed workstation may take to come back."
    )
    safe_seconds: Annotated[float, Example(22.5)] = Field(
        description="For at least so long after the moment that a keep-alive proves, the workstation's sessions are"
        " given to nobody else: with a grace whatever happens, without one unless the server alone loses the"
        " connection."
    )
    timeout_seconds: Annotated[float, Example(900.0)] = Field(
        description="Sessions expire that have had no heartbeat for so long."
    )


class StreamOpenEvent(Shape):
    """The first event of each stream."""

    connection_id: Annotated[UUID | None, Example(examples.CONNECTION_ID)] = Field(
        description="Of this stream; null where it only watches."
    )
    sessions: list[ListedOut] = Field(
        description="The sessions that the workstation holds now, in the order in which it acquired them; at most"
        " 1,000."
    )
    next: Annotated[int | None, Example(None)] = Field(
        description="Where the workstation holds more: GET /api/edit-sessions?workstation=…&after=… lists the others,"
        " in pages. Until all pages are read, a session that none of them names may be held nevertheless. Handle the"
        " events that come meanwhile after the list, which may already show their effect. Null where `sessions` is"
        " all."
    )
    timings: TimingsOut


EVENTS: dict[str, type[Shape]] = {
    "stream-open": StreamOpenEvent,
    "stream-reset": NothingEvent,
    "heartbeat": NothingEvent,
    "edit.session_acquired": SessionAcquiredEvent,
    "edit.session_released": SessionReleasedEvent,
    "edit.session_away": SessionAwayEvent,
    "edit.session_back": SessionAwayEvent,
    "edit.session_idle": SessionIdleEvent,
    "edit.session_active": SessionIdleEvent,
    "edit.session_granted": SessionGrantedEvent,
    "edit.line_changed": LineChangedEvent,
    "edit.handoff_requested": HandoffRequestedEvent,
    "edit.interference": InterferenceEvent,
    "edit.interference_resolved": InterferenceResolvedEvent,
    "edit.force_released": ForceReleasedEvent,
    "item.renamed": ItemRenamedEvent,
    "item.retired": ItemRetiredEvent,
    "item.restored": ItemRestoredEvent,
}
