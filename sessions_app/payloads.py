"""Sessions as JSON: the one shape that the API, the events and `stream-open` share."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from events_app.log.event_log import NewEvent
from sessions_app import channels
from sessions_app.text import name_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.abstract_edit_session import AbstractEditSession
    from sessions_app.models.ended_session import EndedSession
    from sessions_app.models.item import Item
    from sessions_app.models.results import Acquired

Json = dict[str, Any]


def session_json(session: "AbstractEditSession") -> Json:
    """Return an active session, but for whom it meets. Needs item, user and workstation loaded."""
    return _identity(session) | {
        "note": session.note,
        "connection_id": session.connection_id,
        "acquired_at": session.acquired_at,
        "last_heartbeat": session.last_heartbeat,
        "away_since": session.workstation.away_since,
        "idle_since": session.workstation.idle_since,
    }


def listed_json(
    sessions: Collection["AbstractEditSession"],
    met: Mapping[uuid.UUID, Sequence["AbstractEditSession"] | None],
) -> list[Json]:
    """Return active sessions as lists and `stream-open` show them.

    Args:
        sessions: the sessions, with their names.
        met: whom each of them meets, by its id; None where that is not known.
    """
    return [session_json(session) | _meets(met[session.pk]) for session in sessions]


def acquired_json(acquired: "Acquired") -> Json:
    """Return the answer to an acquire; `edit.session_granted` carries the same.

    A cone that was not read, because there are too many, is None.
    """
    session = acquired.session
    unread = "dependency_cone" in session.get_deferred_fields()
    return session_json(session) | {
        "dependency_cone": None if unread else session.dependency_cone,
        "interference": acquired.interference,
        "existing": acquired.existing,
        "conflicts": [
            holder_json(conflict.session) | {"shared": conflict.shared}
            for conflict in acquired.conflicts
        ],
    }


def holder_json(session: "AbstractEditSession") -> Json:
    """Return who is in the way."""
    return met_json(session) | {"note": session.note, "acquired_at": session.acquired_at}


def met_json(session: "AbstractEditSession") -> Json:
    """Return whom a session meets."""
    return {
        "session_id": session.pk,
        **_user(session.user),
        "workstation": _workstation(session.workstation_id, session.workstation.name),
        "context_level": session.context_level,
        "object_id": session.object_id,
    }


def acquired_event(acquired: "Acquired", audience: Collection[str]) -> NewEvent:
    """Return `edit.session_acquired` for these channels."""
    session = acquired.session
    data = _identity(session) | {
        "note": session.note,
        "connection_id": session.connection_id,
        "acquired_at": session.acquired_at,
        "interference": acquired.interference,
    }
    return NewEvent(audience, "edit.session_acquired", _without_id(data))


def grant_events(
    granted: Collection["Acquired"], audiences: Mapping[uuid.UUID, set[str]]
) -> Iterator[NewEvent]:
    """Yield what tells of sessions that somebody's turn, or a hand-off, has begun.

    Args:
        granted: the sessions.
        audiences: who held sessions on their items before; each who gets one here is added.
    """
    for acquired in granted:
        session = acquired.session
        own = channels.workstation(session.workstation_id)
        audience = audiences[session.item_id]
        audience.add(own)
        yield acquired_event(acquired, set(audience))
        yield NewEvent({own}, "edit.session_granted", acquired_json(acquired))
        if session.workstation.idle_since:
            # Nobody has touched its workstation: a list shows that, so an event tells it.
            yield idle_event(session, set(audience))


def end_events(
    records: Collection["EndedSession"], audiences: Mapping[uuid.UUID, set[str]]
) -> Iterator[NewEvent]:
    """Yield what tells of the end of sessions.

    Args:
        records: the records of them.
        audiences: who still holds sessions on their items.
    """
    for record in records:
        if record.reason == "force_released":
            yield force_released_event(record)
        yield released_event(record, audiences[record.item_id])


def resolved_event(session: "AbstractEditSession", with_session_id: uuid.UUID) -> NewEvent:
    """Return `edit.interference_resolved` for the workstation whose session is left."""
    data = _without_id(_identity(session)) | {"with_session_id": with_session_id}
    return NewEvent(
        {channels.workstation(session.workstation_id)}, "edit.interference_resolved", data
    )


def interference_event(
    session: "AbstractEditSession", other: "AbstractEditSession", shared: Sequence[str]
) -> NewEvent:
    """Return `edit.interference` for a session's workstation: it begins to meet another one's."""
    met = {"with": met_json(other), "shared": list(shared)}
    data = _without_id(_identity(session)) | met
    return NewEvent({channels.workstation(session.workstation_id)}, "edit.interference", data)


def handoff_requested_event(
    session: "AbstractEditSession",
    requester: "User",
    workstation_id: uuid.UUID | None,
    message: str,
) -> NewEvent:
    """Return `edit.handoff_requested` for the holder's workstation."""
    data = _without_id(_identity(session)) | {
        "requester": requester.get_username(),
        "requester_name": name_of(requester),
        "workstation_id": workstation_id,
        "message": message,
    }
    return NewEvent({channels.workstation(session.workstation_id)}, "edit.handoff_requested", data)


def released_event(ended: "EndedSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_released` for these channels and the workstation that held it."""
    data = _ended_identity(ended) | {
        "reason": ended.reason,
        "released_at": ended.released_at,
        "acquired_at": ended.acquired_at,
    }
    return NewEvent(
        audience | {channels.workstation(ended.workstation_id)}, "edit.session_released", data
    )


def away_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_away`: its workstation has departed, and a grace runs."""
    return _since_event("edit.session_away", "away_since", session, audience)


def back_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_back`: its workstation came back before the grace was over."""
    return _since_event("edit.session_back", "away_since", session, audience)


def idle_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_idle`: nobody touches its workstation."""
    return _since_event("edit.session_idle", "idle_since", session, audience)


def active_event(session: "AbstractEditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_active`: somebody is back at its workstation, which was idle since then."""
    return _since_event("edit.session_active", "idle_since", session, audience)


def place_json(place: Any) -> Json:
    """Return a place in line, loaded by `with_position`."""
    return {
        "id": place.pk,
        "request_id": place.pk,
        "item_id": place.item_id,
        "part_number": place.item.part_number,
        **_user(place.workstation.user),
        "workstation": _workstation(place.workstation_id, place.workstation.name),
        "note": place.note,
        "context_level": place.context_level,
        "object_id": place.object_id,
        "connection_id": place.connection_id,
        "position": place.position,
        "requested_at": place.requested_at,
    }


def force_released_event(ended: "EndedSession") -> NewEvent:
    """Return `edit.force_released` for the workstation that held it."""
    data = _ended_identity(ended) | {"by": ended.ended_by, "reason": ended.note}
    return NewEvent({channels.workstation(ended.workstation_id)}, "edit.force_released", data)


def renamed_event(item: "Item", old: str, audience: Collection[str]) -> NewEvent:
    """Return `item.renamed` for these channels."""
    return NewEvent(audience, "item.renamed", _item(item) | {"old_part_number": old})


def retired_event(item: "Item", audience: Collection[str]) -> NewEvent:
    """Return `item.retired` for these channels."""
    return NewEvent(audience, "item.retired", _item(item) | {"retired_at": item.retired_at})


def restored_event(item: "Item", audience: Collection[str]) -> NewEvent:
    """Return `item.restored` for these channels."""
    return NewEvent(audience, "item.restored", _item(item))


def _item(item: "Item") -> Json:
    return {"item_id": item.pk, "part_number": item.part_number}


def _since_event(
    name: str, member: str, session: "AbstractEditSession", audience: set[str]
) -> NewEvent:
    """Return an event that tells of this member of the session's workstation."""
    since = {member: getattr(session.workstation, member)}
    return NewEvent(audience, name, _without_id(_identity(session)) | since)


def _identity(session: "AbstractEditSession") -> Json:
    return {
        "id": session.pk,
        "session_id": session.pk,
        "item_id": session.item_id,
        "part_number": session.item.part_number,
        **_user(session.user),
        "workstation": _workstation(session.workstation_id, session.workstation.name),
        "context_level": session.context_level,
        "object_id": session.object_id,
        "fencing_token": session.fencing_token,
    }


def _ended_identity(ended: "EndedSession") -> Json:
    return {
        "item_id": ended.item_id,
        "part_number": ended.part_number,
        "session_id": ended.session_id,
        "user": ended.username,
        "user_name": ended.user_name or ended.username,
        "workstation": _workstation(ended.workstation_id, ended.workstation_name),
        "context_level": ended.context_level,
        "object_id": ended.object_id,
        "fencing_token": ended.fencing_token,
    }


def _meets(met: Sequence["AbstractEditSession"] | None) -> Json:
    known = {True: "soft", False: "none"}[bool(met)]
    return {
        "interference": None if met is None else known,
        "interferes_with": [met_json(session) for session in met or ()],
    }


def _user(user: "User") -> Json:
    return {"user": user.get_username(), "user_name": name_of(user)}


def _workstation(pk: Any, name: str) -> Json:
    return {"id": pk, "name": name}


def _without_id(data: Json) -> Json:
    return {key: value for key, value in data.items() if key != "id"}
