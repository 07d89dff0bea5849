"""Things that tests need to exist."""

import json
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client

from events_app.models import Connection, LogEntry, ServerProcess
from events_app.presence import clean_up, server_processes, store
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Departure
from sessions_app import operations
from sessions_app.errors import NotFound
from sessions_app.models import (
    ApiToken,
    EditSession,
    EndedSession,
    HandoffRequest,
    Item,
    PlaceInLine,
    Workstation,
)
from sessions_app.models.ended_session import Record
from sessions_app.models.results import Acquired, Wanted
from sessions_app.roles import Role


def make_user(name: str = "ada", role: Role | None = Role.EDITOR, **fields: Any) -> Any:
    """Make a user in a role."""
    user = get_user_model().objects.create_user(name, password="correct horse", **fields)
    if role is not None:
        user.groups.add(Group.objects.get(name=role.group))
    return user


def make_token(user: Any, role: Role = Role.ADMIN) -> str:
    """Make a bearer token that allows all that the user may do, or less."""
    return ApiToken.objects.issue(user, "test", role.group, None)[1]


def make_item(part_number: str = "A01-0001") -> Item:
    return Item.objects.create(part_number=part_number)


def make_workstation(user: Any, name: str = "cad-1") -> Workstation:
    return Workstation.objects.create(user=user, name=name, fingerprint=uuid.uuid4().hex)


def acquire(
    workstation: Workstation,
    item: Item,
    object_id: str = "",
    level: str = "sketch",
    cone: tuple[str, ...] = (),
    **kwargs: Any,
) -> Acquired:
    wanted = Wanted(item.part_number, level, object_id, cone)
    return operations.acquire.acquire(workstation.user, workstation.pk, wanted, **kwargs)


def let_go(session_id: uuid.UUID | str) -> Record:
    """End a session at its holder's wish; raise `NotFound` where it has ended already."""
    session = EditSession.objects.select_related("user", "item").filter(pk=session_id).first()
    if session is None:
        raise NotFound("it has ended")
    release = operations.release.Release(session.user, [session.pk], session.item.part_number)
    [outcome] = operations.release.release_set([release])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome[0]


def stand(
    workstation: Workstation,
    item: Item,
    object_id: str = "",
    level: str = "sketch",
    cone: tuple[str, ...] = (),
    **kwargs: Any,
) -> Any:
    """Stand in line for a session; the workstation needs a stream."""
    wanted = Wanted(item.part_number, level, object_id, cone)
    return operations.line.stand(workstation.user, workstation.pk, wanted, **kwargs)


def wait_for(workstation: Workstation, session: EditSession, cone: tuple[str, ...] = ()) -> Any:
    """Stand in line for what somebody's session holds."""
    return stand(workstation, session.item, session.object_id, session.context_level, cone)


def connect(workstation: Workstation) -> uuid.UUID:
    """Record an open stream of a workstation; return its connection_id."""
    process = ServerProcess.objects.create(hostname="test", pid=1)
    return Connection.objects.create(key=workstation.pk, process=process).pk


def make_connected(name: str, role: Role = Role.EDITOR, **fields: Any) -> Workstation:
    """Make a user of this name and role with a workstation that has a stream open."""
    workstation = make_workstation(make_user(name, role, **fields), f"{name}'s")
    connect(workstation)
    return workstation


def depart(workstation: Workstation, *, by_client: bool = True) -> bool:
    """End the streams of a workstation, by its client's doing or by the server's; return whether more ends with it."""
    streams = list(Connection.objects.filter(key=workstation.pk))
    departures = [Departure(stream.pk, stream.key, by_client) for stream in streams]
    return store.depart(ProcessIdentity(streams[0].process_id), departures)


def clean_up_one(server_dead: timedelta) -> bool:
    """Run one step for a process that has not beaten for so long; return whether there may be more."""
    process_id, keys = clean_up.next_keys(server_dead, server_processes.KEYS_AT_ONCE)
    return process_id is not None and clean_up.clean_up(process_id, keys, server_dead)


def grant_what_is_free(limit: int) -> list[Acquired]:
    """Grant so many of the free locks that have a line, as a beat does."""
    waiting = operations.line.of_free_locks().reachable().order_by("number")
    return operations.line.grant_free(waiting.values_list("pk", flat=True)[:limit])


def counts() -> dict[str, int]:
    """Return how many rows there are of everything that a request can change."""
    models = (
        Item,
        Workstation,
        EditSession,
        EndedSession,
        PlaceInLine,
        HandoffRequest,
        LogEntry,
    )
    return {model.__name__: model.objects.count() for model in models}


def check_refused(request: Callable[[], Any], status: int, code: str, **more: Any) -> Any:
    """Check that this request is refused in the envelope, with these further members, and changes nothing.

    Returns:
        The answer.
    """
    before = counts()
    answer = request()
    assert answer.status_code == status
    assert answer.json() == {"error": code, "message": A_SENTENCE} | more
    assert counts() == before
    return answer


def events() -> list[tuple[str, set[str], dict[str, Any]]]:
    """Return type, channels and data of every event, oldest first."""
    entries = LogEntry.objects.order_by("id")
    return [(entry.type, set(entry.channels), json.loads(entry.data)) for entry in entries]


def met_of(session: EditSession) -> dict[str, Any]:
    """Return how a session is shown that another one interferes with."""
    return {
        "session_id": str(session.pk),
        "user": session.user.username,
        "user_name": session.user.username,
        "workstation": {"id": str(session.workstation_id), "name": session.workstation.name},
        "context_level": session.context_level,
        "object_id": session.object_id,
    }


def holder_of(session: EditSession) -> dict[str, Any]:
    """Return how a session is shown that is in the way, or that is met by one that begins."""
    return met_of(session) | {"note": session.note, "acquired_at": A_TIME}


def identity_of(session: EditSession) -> dict[str, Any]:
    """Return the members of a session that each of its events has."""
    return met_of(session) | {
        "item_id": str(session.item_id),
        "part_number": session.item.part_number,
        "fencing_token": session.fencing_token,
    }


def kinds_since(before: int) -> list[str]:
    """Return the type of every event but the first `before`, oldest first."""
    return [kind for kind, _, _ in events()[before:]]


class Like:
    """Equal to every text of this form."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self._pattern, other) is not None

    def __repr__(self) -> str:
        return f"Like({self._pattern!r})"


A_UUID = Like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
A_TIME = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
A_SENTENCE = Like(r"[A-Z].*\.")


class Api:
    """The HTTP API as one user's client calls it, inside the test's process."""

    def __init__(self, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = Client(headers=headers)

    def __call__(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Any:
        """Return the response; `body` becomes JSON, or is sent as it is where it is text or bytes."""
        return self._client.generic(
            method,
            path,
            body if isinstance(body, str | bytes) else _json(body),
            content_type="application/json",
            **kwargs,
        )


def api_of(user: Any, role: Role = Role.ADMIN) -> Api:
    """Return the API as this user calls it."""
    return Api(make_token(user, role))


def ask_for_lock(workstation: Workstation, url: str, **wanted: Any) -> Any:
    """Return the answer to an acquire of a sketch, or of what else is wanted, or to a place in line for it."""
    body = {"workstation_id": workstation.pk, "context_level": "sketch"} | wanted
    return api_of(workstation.user)("POST", url, body)


def item_url(part_number: str, *more: Any) -> str:
    """Return the path of an item, or of what belongs to it."""
    return "/".join(["/api/items", quote(part_number, safe=""), *map(str, more)])


def session_url(session: EditSession, ending: str = "", part_number: str | None = None) -> str:
    """Return the path of a session, or of an operation on it, by its item's part number or another one."""
    part = quote(part_number or session.item.part_number, safe="")
    return f"/api/items/{part}/edit-sessions/{session.pk}{ending and '/' + ending}"


def _json(body: Any) -> str:
    return "" if body is None else json.dumps(body, default=str)
