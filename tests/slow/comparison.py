"""Compares what a server answers, records and tells with what the model expects. Raises AssertionError."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from tests.slow.model_core import LINE_CHANGED
from tests.slow.model_state import (
    End,
    Event,
    Expected,
    Got,
    Line,
    Lock,
    Place,
    Session,
    Standing,
    State,
)

Json = Any

# What an event about a session says of it, whatever happened.
IDENTITY = (
    "item_id",
    "part_number",
    "session_id",
    "user",
    "workstation",
    "context_level",
    "object_id",
    "fencing_token",
)


class Entry(NamedTuple):
    """One entry of the event log."""

    id: int
    type: str
    channels: frozenset[str]
    data: dict[str, Json]


class Comparison:
    """One model against one server, from an empty database on.

    Args:
        model: the model. It learns from the server which ids and tokens sessions and places have.
        items: the items' ids by part number.
    """

    def __init__(self, model: State, items: Mapping[str, str]) -> None:
        self.model = model
        self.items = items
        # The current ids of the workstations by name.
        self.workstations: dict[str, str] = {}
        self._highest: dict[str, int] = defaultdict(int)
        self._tokens: set[int] = set()
        self._records: list[str] = []
        self._last_entry = 0

    # -- answers --

    def status(self, expected: Expected, status: int, body: Json) -> None:
        """The status, and of a refusal its code."""
        error = body.get("error", "") if isinstance(body, dict) else ""
        assert (status, error) == (expected.status, expected.error), f"answered {status} {body}"

    def got(self, expected: Sequence[Got], answers: Sequence[Json]) -> None:
        """The sessions that an acquire, a batch or a hand-off answers with, in this order."""
        assert [self._got_form(got) for got in expected] == [_form_of_got(one) for one in answers]

    def holders(self, expected: Sequence[Session], holders: Sequence[Json]) -> None:
        """Who is in the way."""
        assert [self._holder(one) for one in expected] == [_form_of_holder(h) for h in holders]

    def standing(self, expected: Standing, body: Json) -> None:
        """A place in line; the model learns its id."""
        place = expected.place
        place.id = place.id or body["request_id"]
        assert self._place(place, expected.position) == _form_of_place(body)
        assert body["existing"] == expected.existing
        holder = expected.holder and self._holder(expected.holder)
        assert holder == (body["holder"] and _form_of_holder(body["holder"]))

    # -- what was told and recorded --

    def told(self, expected: Expected, entries: Sequence[Entry]) -> None:
        """The events of one operation: each of them once, to whom they concern, in their order for each lock."""
        ids = [entry.id for entry in entries]
        assert ids == sorted(set(ids)), "the log's ids do not grow"
        assert not ids or ids[0] > self._last_entry, "an event came late"
        self._last_entry = max(ids, default=self._last_entry)
        self._learn(expected.events, entries)
        wanted = [(event.session.lock, self._event_form(event)) for event in expected.events]
        actual = [(self._lock(entry.data), self._form_of_event(entry)) for entry in entries]
        assert _by_lock(_latest_lines(wanted)) == _by_lock(_latest_lines(actual))

    def recorded(self, expected: Sequence[End], history: Sequence[Json]) -> None:
        """The whole history, the latest first: a record of each end, and those of before unchanged."""
        ids = [record["session_id"] for record in reversed(history)]
        assert len(ids) == len(set(ids)), "a session has two records"
        known = len(self._records)
        assert ids[:known] == self._records, "a record was changed or is gone"
        new = list(reversed(history))[known:]
        self._records = ids
        wanted = {
            end.session.id: self._identity(end.session)
            | {"reason": end.reason, "ended_by": end.by, "note": end.note}
            for end in expected
        }
        members = (*IDENTITY, "reason", "ended_by", "note")
        assert wanted == {r["session_id"]: {name: r[name] for name in members} for r in new}

    # -- what is there --

    def listed(self, sessions: Sequence[Json], item: str | None = None) -> None:
        """The active sessions, of an item or all, in the order of their tokens: at most one for each lock."""
        held = self.model.on_item(item) if item else list(self.model.sessions.values())
        held.sort(key=lambda session: session.token)
        assert [self._shown(one) for one in held] == [_form_of_shown(one) for one in sessions]
        for one, session in zip(held, sessions, strict=True):
            met = self.model.met_by(one)
            assert session["interference"] == ("soft" if met else "none")
            assert _by_id(map(self._holder, met)) == _by_id(
                map(_form_of_holder, session["interferes_with"])
            )
        locks = [self._lock(one) for one in sessions]
        assert len(set(locks)) == len(locks), "a lock has two holders"

    def line(self, item: str, requests: Sequence[Json]) -> None:
        """Who stands in line on an item: first come, first served."""
        wanted = []
        for lock in sorted({place.lock for place in self.model.places if place.lock.item == item}):
            for position, place in enumerate(self.model.line(lock), 1):
                wanted.append(self._place(place, position))
        assert wanted == [_form_of_place(request) for request in requests]

    def verified(self, session: Session, body: Json) -> None:
        """Whose a live session with its token is."""
        identity = self._identity(session)
        assert body == {
            "user": identity["user"],
            # Nobody has a full name here.
            "user_name": identity["user"],
            "workstation": identity["workstation"],
            "item": session.lock.item,
            "context_level": session.lock.level,
            "object_id": session.lock.object_id,
        }

    # -- the model learns --

    def _learn(self, expected: Sequence[Event], entries: Sequence[Entry]) -> None:
        new = {
            event.session.lock: event.session
            for event in expected
            if event.type == "edit.session_acquired" and isinstance(event.session, Session)
        }
        for entry in entries:
            if entry.type != "edit.session_acquired":
                continue
            session = new.get(self._lock(entry.data))
            assert session, f"acquired out of turn: {entry.data}"
            assert not session.id, f"acquired twice: {entry.data}"
            session.id, session.token = entry.data["session_id"], entry.data["fencing_token"]
            assert session.token > self._highest[session.lock.item], "a token did not grow"
            assert session.token not in self._tokens, "a token was given twice"
            self._highest[session.lock.item] = session.token
            self._tokens.add(session.token)

    # -- forms in which both can be compared: of the model --

    def _identity(self, session: Session) -> dict[str, Json]:
        at = session.workstation
        return {
            "item_id": self.items[session.lock.item],
            "part_number": session.lock.item,
            "session_id": session.id,
            "user": at.user.name,
            "workstation": {"id": self.workstations[at.name], "name": at.name},
            "context_level": session.lock.level,
            "object_id": session.lock.object_id,
            "fencing_token": session.token,
        }

    def _shown(self, session: Session) -> dict[str, Json]:
        return self._identity(session) | {
            "connection_id": session.stream and session.stream.id,
            "away": session.workstation.away_since is not None,
            "idle": session.workstation.idle_since is not None,
        }

    def _holder(self, session: Session) -> dict[str, Json]:
        identity = self._identity(session)
        members = ("session_id", "user", "workstation", "context_level", "object_id")
        return {name: identity[name] for name in members}

    def _got_form(self, got: Got) -> dict[str, Json]:
        return self._shown(got.session) | {
            "cone": sorted(got.session.cone),
            "interference": got.interference,
            "existing": got.existing,
            "conflicts": _by_id(
                self._holder(other) | {"shared": sorted(got.session.cone & other.cone)}
                for other in got.conflicts
            ),
        }

    def _place(self, place: Place, position: int) -> dict[str, Json]:
        at, lock = place.workstation, place.lock
        return {
            "request_id": place.id,
            "part_number": lock.item,
            "user": at.user.name,
            "workstation": {"id": self.workstations[at.name], "name": at.name},
            "context_level": lock.level,
            "object_id": lock.object_id,
            "position": position,
            "connection_id": place.stream and place.stream.id,
        }

    def _event_form(self, event: Event) -> tuple[str, list[str], dict[str, Json]]:
        if isinstance(event.session, Line):
            return event.type, sorted(event.to), event.data
        if event.type == "edit.session_granted":
            data = self._got_form(event.data["got"])
        else:
            data = self._identity(event.session) | event.data
        if "with" in data:
            data["with_session_id"] = data.pop("with").id
        if "other" in data:
            # In the order of the server's form: what is of one kind is sorted by how it is written.
            both = data.pop("shared")
            data |= {"with": self._holder(data.pop("other")), "shared": both}
        if event.type == "edit.handoff_requested":
            at = data["workstation_id"] = event.data["workstation"]
            data["workstation"] = self._identity(event.session)["workstation"]
            data["workstation_id"] = at and self.workstations[at.name]
        return event.type, sorted(event.to), data

    # -- and of the server --

    def _lock(self, data: Json) -> Lock:
        return Lock(data["part_number"], data["context_level"], data["object_id"])

    def _form_of_event(self, entry: Entry) -> tuple[str, list[str], dict[str, Json]]:
        if entry.type == "edit.session_granted":
            data = _form_of_got(entry.data)
        elif entry.type == LINE_CHANGED:
            # Its lock is compared by itself.
            data = {"length": entry.data["length"]}
        else:
            members = (*IDENTITY, "connection_id", "interference", "by", "reason")
            members += ("with_session_id", "requester", "workstation_id", "message")
            data = {name: entry.data[name] for name in members if name in entry.data}
            if entry.type == "edit.interference":
                data["with"] = _form_of_holder(entry.data["with"])
                data["shared"] = entry.data["shared"]
        names = {f"item:{pk}": f"item:{name}" for name, pk in self.items.items()}
        names |= {f"workstation:{pk}": f"workstation:{n}" for n, pk in self.workstations.items()}
        return entry.type, sorted(names.get(one, one) for one in entry.channels), data


def _form_of_shown(session: Json) -> dict[str, Json]:
    assert session["id"] == session["session_id"]
    return {name: session[name] for name in (*IDENTITY, "connection_id")} | {
        "away": session["away_since"] is not None,
        "idle": session["idle_since"] is not None,
    }


def _form_of_holder(holder: Json) -> dict[str, Json]:
    members = ("session_id", "user", "workstation", "context_level", "object_id")
    return {name: holder[name] for name in members}


def _form_of_got(session: Json) -> dict[str, Json]:
    return _form_of_shown(session) | {
        "cone": sorted(session["dependency_cone"]),
        "interference": session["interference"],
        "existing": session["existing"],
        "conflicts": _by_id(
            _form_of_holder(conflict) | {"shared": conflict["shared"]}
            for conflict in session["conflicts"]
        ),
    }


def _form_of_place(place: Json) -> dict[str, Json]:
    assert place["id"] == place["request_id"]
    members = ("request_id", "part_number", "user", "workstation", "context_level")
    members += ("object_id", "position", "connection_id")
    return {name: place[name] for name in members}


def _by_id(holders: Iterable[dict[str, Json]]) -> list[dict[str, Json]]:
    return sorted(holders, key=lambda holder: str(holder["session_id"]))


def _latest_lines(forms: Sequence[tuple[Lock, Any]]) -> list[tuple[Lock, Any]]:
    """Keep of each line what was told of it last: of two that leave together one may leave first."""
    last = {lock: at for at, (lock, form) in enumerate(forms) if form[0] == LINE_CHANGED}
    return [one for at, one in enumerate(forms) if one[1][0] != LINE_CHANGED or last[one[0]] == at]


def _by_lock(forms: Iterable[tuple[Lock, Any]]) -> dict[Lock, list[Any]]:
    """What happened to each lock, in order; of things of one kind that follow each other the order is free."""
    of_each = defaultdict(list)
    for lock, form in forms:
        of_each[lock].append(form)
    return {
        lock: [
            form for _, run in groupby(some, key=lambda f: f[0]) for form in sorted(run, key=repr)
        ]
        for lock, some in of_each.items()
    }
