"""Sessions as JSON: the one shape that the API, the events and `stream-open` share."""

from typing import TYPE_CHECKING, Any

from events_app.event_log import NewEvent
from sessions_app import channels

if TYPE_CHECKING:
    from sessions_app.models import EditSession, EndedSession

Json = dict[str, Any]


def session_json(session: "EditSession") -> Json:
    """Return an active session as lists and `stream-open` show it. Needs item, user and workstation loaded."""
    return _identity(session) | {
        "acquired_at": session.acquired_at,
        "last_heartbeat": session.last_heartbeat,
        "away_since": session.workstation.away_since,
    }


def holder_json(session: "EditSession") -> Json:
    """Return who is in the way."""
    return {
        "session_id": session.pk,
        "user": session.user.get_username(),
        "workstation": _workstation(session.workstation_id, session.workstation.name),
        "context_level": session.context_level,
        "object_id": session.object_id,
        "acquired_at": session.acquired_at,
    }


def acquired_event(session: "EditSession", interference: str, audience: set[str]) -> NewEvent:
    """Return `edit.session_acquired` for these channels."""
    data = _identity(session) | {"acquired_at": session.acquired_at, "interference": interference}
    return NewEvent(audience, "edit.session_acquired", _without_id(data))


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


def away_event(session: "EditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_away`: its workstation has departed, and a grace runs."""
    data = _without_id(_identity(session)) | {"away_since": session.workstation.away_since}
    return NewEvent(audience, "edit.session_away", data)


def back_event(session: "EditSession", audience: set[str]) -> NewEvent:
    """Return `edit.session_back`: its workstation came back before the grace was over."""
    data = _without_id(_identity(session)) | {"away_since": session.workstation.away_since}
    return NewEvent(audience, "edit.session_back", data)


def force_released_event(ended: "EndedSession") -> NewEvent:
    """Return `edit.force_released` for the workstation that held it."""
    data = _ended_identity(ended) | {"by": ended.ended_by, "reason": ended.note}
    return NewEvent({channels.workstation(ended.workstation_id)}, "edit.force_released", data)


def _identity(session: "EditSession") -> Json:
    return {
        "id": session.pk,
        "session_id": session.pk,
        "item_id": session.item_id,
        "part_number": session.item.part_number,
        "user": session.user.get_username(),
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
        "workstation": _workstation(ended.workstation_id, ended.workstation_name),
        "context_level": ended.context_level,
        "object_id": ended.object_id,
        "fencing_token": ended.fencing_token,
    }


def _workstation(pk: Any, name: str) -> Json:
    return {"id": pk, "name": name}


def _without_id(data: Json) -> Json:
    return {key: value for key, value in data.items() if key != "id"}
