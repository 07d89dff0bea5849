"""What arrivals, departures and heartbeats of workstations mean for their sessions.

The presence key is the workstation's id. Called by `events_app.presence.store` inside its transactions, which hold
the locks of the workstations.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest

from events_app.database.round_trip import Query, Row, Statement, rows_of, together
from events_app.presence.backend import (
    AliveRequest,
    Key,
    Outcome,
    PresenceBackend,
    StreamGrant,
    StreamRefused,
    StreamRequest,
)
from sessions_app import (
    alive_requests,
    clock,
    credentials,
    operations,
    snapshots,
    stream_grants,
    writer,
)
from sessions_app.authentication import principals_of_requests
from sessions_app.errors import DomainError, IdentityInUse
from sessions_app.logins import logged_in
from sessions_app.models import ApiToken, EditSession, PlaceInLine, Workstation
from sessions_app.models.results import Acquired
from sessions_app.quarantine import Candidate, QuarantiningSteps, ids_of
from sessions_app.roles import Role

# Workstations whose grace ends in one transaction.
GRACE_BATCH = 500
# Places in line whose turn comes in one transaction.
TURNS_BATCH = 500
# How long what fails by itself is left alone: each try may keep this thread for as long as a lock is waited for.
QUARANTINE_SECONDS = 60.0


_LOCKING = Statement(
    lambda ids: (
        Workstation.objects.locking(ids)
        .annotate(is_absent=Q(departed_at__isnull=False) | Q(away_since__isnull=False))
        .values_list("pk", "user_id", "machine", "is_absent")
    )
)
# Who has a session locked ends it, or touches it.
_TOUCH = Statement(
    lambda ids: EditSession.objects.touching(ids, wait=False), update={"last_heartbeat": Now()}
)
_GOOD_TOKENS = Statement(lambda ids: ApiToken.objects.valid().filter(pk__any=ids).values_list("pk"))
_GOOD_KEYS = Statement(lambda ids: Workstation.objects.filter(pk__any=ids).values_list("pk"))
_GOOD_USERS = Statement(lambda ids: Role.VIEWER.users().filter(pk__any=ids).values_list("pk"))

# Each server asks these with each of its beats, and finds nobody nearly always: then it asks nothing else.
_ANYBODY_AWAY = Statement(
    lambda: Workstation.objects.filter(away_since__isnull=False).values_list("pk")[:1]
)
_ANYBODY_WAITS = Statement(lambda: PlaceInLine.objects.values_list("pk")[:1])


@lru_cache(maxsize=4)
def _departing(process_id: uuid.UUID) -> Statement:
    """Return the statement that marks workstations as departed, as this process saw."""
    return Statement(
        lambda ids: Workstation.objects.filter(pk__any=ids),
        update={"departed_at": Now(), "departed_by": process_id, "last_seen": Now()},
    )


class WorkstationPresence(PresenceBackend):
    """Named by the setting `EVENTS_PRESENCE_BACKEND`."""

    caches = (credentials.cache,)
    writers = (writer.writer,)

    def __init__(self) -> None:
        self._graces = QuarantiningSteps(
            "the end of a grace",
            _graces,
            _workstation_named,
            lambda some: _end_graces(ids_of(some)),
            quarantine_seconds=QUARANTINE_SECONDS,
        )
        self._turns = QuarantiningSteps(
            "a turn in line",
            _turns,
            PlaceInLine.objects.in_the_log,
            lambda some: _give_turns(ids_of(some)),
            quarantine_seconds=QUARANTINE_SECONDS,
        )

    def resolve(self, requests: Sequence[StreamRequest]) -> Sequence[StreamGrant | StreamRefused]:
        """See `stream_grants.resolve_all`."""
        return [
            _refused(verdict) if isinstance(verdict, DomainError) else verdict
            for verdict in stream_grants.resolve_all(requests)
        ]

    def resolve_at_once(self, request: StreamRequest) -> StreamGrant | StreamRefused | None:
        """See `stream_grants.resolve_at_once`."""
        verdict = stream_grants.resolve_at_once(request)
        return _refused(verdict) if isinstance(verdict, DomainError) else verdict

    def users(self, requests: Sequence[HttpRequest]) -> Sequence[int | StreamRefused]:
        """Return who asks in each of the requests; who has no role may send nothing either."""
        return [
            _refused(who) if isinstance(who, DomainError) else who.user.pk
            for who in principals_of_requests(requests)
        ]

    def alive_request(
        self, http: HttpRequest, kwargs: Mapping[str, str], body: bytes
    ) -> AliveRequest | None:
        """See `alive_requests.read`."""
        return alive_requests.read(http, kwargs, body)

    def alive(
        self, signs: Sequence[AliveRequest], *, quick: bool
    ) -> Sequence[StreamRefused | Outcome | None]:
        """See `alive_requests.note_all`."""
        return [
            _refused(verdict) if isinstance(verdict, DomainError) else verdict
            for verdict in alive_requests.note_all(signs, quick=quick)
        ]

    def lock(self, keys: Collection[Key], also: Collection[Key] = ()) -> set[Key]:
        """Lock the workstations."""
        return Workstation.objects.lock_ids({*keys, *also}) & set(keys)

    def locking(self, keys: Collection[Key]) -> Query:
        """Lock the workstations."""
        return _LOCKING(keys)

    def displaced(
        self, claims: Collection[tuple[Key, str]], machines: Mapping[Key, str]
    ) -> set[tuple[Key, str]]:
        """Return those whose workstation was last registered by another machine.

        What no machine has registered, because a server did not know of machines then, is the first one's.
        """
        new: dict[Key, str] = {}
        for key, machine in sorted(claims):
            if not machines[key]:
                new.setdefault(key, machine)
        Workstation.objects.bulk_update(
            [Workstation(pk=key, machine=machine) for key, machine in new.items()], ["machine"]
        )
        now = {**machines, **new}
        return {(key, machine) for key, machine in claims if now[key] != machine}

    def unknown(self) -> StreamRefused:
        """It was never registered, or was deleted."""
        return _refused(stream_grants.unknown_workstation())

    def foreign(self) -> StreamRefused:
        """See `stream_grants`."""
        return _refused(stream_grants.foreign_workstation())

    def displacement(self) -> StreamRefused:
        """Tell the client to register again, by which it learns what to do."""
        return _refused(IdentityInUse("Another machine is this workstation; register again."))

    def arrived(self, keys: Collection[Key], absent: Collection[Key], ahead: Query) -> None:
        """They are here: their sessions have a heartbeat, and no departure counts any more."""
        operations.presence.arrive(keys, absent, ahead)

    def departed(self, keys: Collection[Key], gone: Collection[Key], process_id: uuid.UUID) -> bool:
        """Mark who departed; those that have no connection left leave their sessions."""
        departed = _departing(process_id)(keys)
        grace = settings.EVENTS_DISCONNECT_GRACE
        return operations.presence.leave(gone, grace, [departed], commits=True)

    def server_stopped(self, gone: Collection[Key]) -> None:
        """They have no server for now; nobody has departed."""
        self._wait_for(gone)

    def server_died(
        self, gone: Collection[Key], process_id: uuid.UUID, last_beat: datetime
    ) -> None:
        """Those leave that were seen to depart while the dead process still stood for them."""
        departed = set(
            Workstation.objects.filter(pk__in=gone, departed_at__gt=last_beat)
            .exclude(departed_by=process_id)
            .values_list("pk", flat=True)
        )
        self._wait_for(set(gone) - departed)
        operations.presence.leave(departed, settings.EVENTS_DISCONNECT_GRACE)

    def time_passes(self) -> bool:
        """End the graces that are over, and give what is free to who came back to a line for it."""
        more, _ = self._graces.step()
        if more:
            return True
        more, granted = self._turns.step()
        # None has failed, and is tried in parts.
        return more and granted != []

    def _wait_for(self, gone: Collection[Key]) -> None:
        """Their server is gone, they are not: from now on the time-out runs."""
        left = Workstation.objects.filter(pk__any=gone)
        left.forget_departure()
        left.update(last_seen=Now())

    def clock_went_back(self) -> bool:
        """See `clock.repair_workstations`."""
        return clock.repair_workstations()

    def snapshot(
        self, keys: Collection[Key], ahead: Query
    ) -> tuple[Mapping[Key, Mapping[str, Any]], list[Row]]:
        """Return the sessions that each workstation holds. See `snapshots`."""
        return snapshots.of_some(keys, ahead)

    def touching(self, keys: Collection[Key]) -> Query:
        """The heartbeat of the workstations' sessions."""
        return _TOUCH(keys)

    def withdrawn(
        self, grants: Collection[StreamGrant], ahead: Sequence[Query] = ()
    ) -> set[StreamGrant]:
        """Return the grants whose token, login session, user, role or workstation is no longer good."""
        tokens = {grant.token_id for grant in grants if grant.token_id is not None}
        keys = {grant.shown for grant in grants if grant.shown is not None}
        users = {grant.user_id for grant in grants}
        logins = logged_in({grant.login for grant in grants if grant.login is not None})
        good = _GOOD_TOKENS(tokens), _GOOD_KEYS(keys), _GOOD_USERS(users)
        found = together(*ahead, *good, commits=bool(ahead))[len(ahead) :]
        good_tokens, good_keys, good_users = ({pk for (pk,) in rows} for rows in found)
        return {
            grant
            for grant in grants
            if grant.user_id not in good_users
            or (grant.token_id is not None and grant.token_id not in good_tokens)
            or (grant.login is not None and logins.get(grant.login) != grant.user_id)
            or (grant.shown is not None and grant.shown not in good_keys)
        }


def _refused(error: DomainError) -> StreamRefused:
    return StreamRefused(error.status, error.code, error.message, **error.details)


def _graces(but_not: Collection[Any], _: Collection[Any]) -> list[Candidate]:
    if not rows_of(_ANYBODY_AWAY()):
        return []
    over = operations.presence.graces_over(settings.EVENTS_DISCONNECT_GRACE).exclude(
        pk__in=list(but_not)
    )
    ids = over.order_by("pk").values_list("pk", flat=True)[:GRACE_BATCH]
    return [Candidate(pk, pk) for pk in ids]


def _workstation_named(pk: Key) -> dict[str, Any]:
    name = Workstation.objects.filter(pk=pk).values_list("name", flat=True).first()
    return {"workstation": name, "key": pk}


def _end_graces(ids: Collection[Key]) -> bool:
    return operations.presence.end_grace(settings.EVENTS_DISCONNECT_GRACE, GRACE_BATCH, ids)


def _turns(but_not: Collection[Any], but_not_on: Collection[Any]) -> list[Candidate]:
    if not rows_of(_ANYBODY_WAITS()):
        return []
    waiting = operations.line.of_free_locks().reachable()
    waiting = waiting.exclude(pk__in=list(but_not)).exclude(item__in=list(but_not_on))
    places = waiting.order_by("number").values_list("pk", "item")
    return [Candidate(*place) for place in places[:TURNS_BATCH]]


def _give_turns(ids: Collection[Any]) -> list[Acquired]:
    return operations.line.grant_free(ids)
