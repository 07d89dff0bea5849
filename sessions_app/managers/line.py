"""The line: standing in it, and whose turn it is."""

import uuid
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import models, transaction
from django.db.models import (
    DurationField,
    Exists,
    F,
    OuterRef,
    Q,
    Value,
    Window,
)
from django.db.models.functions import Now, RowNumber

from events_app.database.lock_retry import NeedsLocks
from events_app.log import event_log
from events_app.models import Connection
from events_app.presence.outages import observed_for
from sessions_app.errors import NotFound
from sessions_app.locks import Lock, by_lock, rows_about
from sessions_app.models.workstation import Workstation
from sessions_app.operations import limits
from sessions_app.operations.access import check_connected, lock_own_workstation
from sessions_app.steps import few_enough

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.place_in_line import PlaceInLine
    from sessions_app.models.results import Acquired, Standing, Wanted

# As in a batch: what one transaction writes stays within a second or two. The next beat goes on with the rest.
MAX_TURN_NODE_KEYS: Final = 100_000


class PlaceInLineQuerySet(models.QuerySet[Any]):
    """The vocabulary of the line."""

    def with_position(self) -> "PlaceInLineQuerySet":
        """Load places with their names and their `position`, from 1. Filter by whole lines before, not after."""
        position = Window(
            RowNumber(),
            partition_by=[F("item"), F("context_level"), F("object_id")],
            order_by="number",
        )
        named = self.select_related("item", "workstation__user").defer("dependency_cone")
        with_position: PlaceInLineQuerySet = named.annotate(position=position)
        return with_position

    def page(
        self, after: tuple[str, str, int] | None, limit: int
    ) -> tuple[list["PlaceInLine"], bool]:
        """Return a page of whole lines on one item, with names and positions, and whether there are more places.

        Two queries at most, which read the page and count what stands before it in the line that it begins in.

        Args:
            after: level, object and number of the last place of the page before; None for the first page.
            limit: how many places.
        """
        found: Any = self.select_related("item", "workstation__user").defer("dependency_cone")
        before = 0
        if after:
            level, object_id, number = after
            line = Q(context_level=level, object_id=object_id)
            found = found.filter(
                Q(context_level__gt=level)
                | Q(context_level=level, object_id__gt=object_id)
                | (line & Q(number__gt=number))
            )
            before = self.filter(line, number__lte=number).count()
        places = list(found.order_by("context_level", "object_id", "number")[: limit + 1])
        positions = Counter({after[:2]: before} if after else {})
        for place in places:
            lock = place.context_level, place.object_id
            positions[lock] += 1
            place.position = positions[lock]
        return places[:limit], len(places) > limit

    def reachable(self) -> "PlaceInLineQuerySet":
        """Those whose workstation would hear of its turn."""
        return self.filter(workstation__in=Workstation.objects.reachable())

    def of_free_locks(self) -> "PlaceInLineQuerySet":
        """Those that wait for something that nobody has."""
        from sessions_app.models.edit_session import EditSession  # whose managers import this file

        holders = EditSession.objects.filter(
            item=OuterRef("item"),
            context_level=OuterRef("context_level"),
            object_id=OuterRef("object_id"),
        )
        return self.filter(~Exists(holders))

    def lost(self, timeout: timedelta) -> "PlaceInLineQuerySet":
        """Those of deactivated users, and of workstations that no server has seen for longer than `timeout`."""
        unseen = Q(workstation__last_seen__lt=Now() - Value(timeout, DurationField()))
        connected = Exists(Connection.objects.filter(key=OuterRef("workstation")))
        return self.filter(
            Q(workstation__user__is_active=False) | (unseen & ~connected & observed_for(timeout))
        )


class PlaceInLineManager(models.Manager.from_queryset(PlaceInLineQuerySet)):  # type: ignore[misc]
    """Every change of the line but those that come with the end of a session, or an acquire."""

    def stand(
        self,
        user: "User",
        workstation_id: uuid.UUID,
        wanted: "Wanted",
        connection_id: uuid.UUID | None = None,
    ) -> "Acquired | Standing":
        """Stand in line for a session, or acquire it if it is free now.

        Args:
            user: who asks; the workstation must be theirs.
            workstation_id: the workstation. Whoever stands in line hears of its turn, so it needs a live stream.
            wanted: what it wants to edit.
            connection_id: the stream that the client has open; None for any of the workstation's.

        Raises:
            NotFound: no such workstation or item.
            Forbidden: somebody else's workstation, or a deactivated user.
            NotConnected: without a live stream.
            TooManyPlaces, TooManyNodeKeys, TooManySessions: the user, or the workstation, may not have so many.
        """
        from sessions_app.models.edit_session import EditSession  # whose managers import this file
        from sessions_app.models.results import Standing

        with transaction.atomic():
            workstation = lock_own_workstation(user, workstation_id)
            check_connected(workstation_id, connection_id)
            if connection_id:
                # Who waits has to be reached: a stream of a dead server does not do.
                check_connected(workstation_id, None)
            items, here = EditSession.objects.lock_items(workstation, [wanted.part_number])
            item = items[wanted.part_number]
            lock = Lock(item.pk, wanted.context_level, wanted.object_id)
            holder = EditSession.objects.held([lock]).get(lock)
            mine = holder and holder.workstation_id == workstation_id
            if mine or not (holder or self._before(workstation, lock).reachable().exists()):
                return EditSession.objects.acquire_locked(
                    workstation, items, [wanted], connection_id, here
                )[0]
            item.check_not_retired()
            own = self.filter(rows_about([lock]), workstation=workstation)
            has = own.values_list("node_keys", flat=True).first()
            more = limits.growth([(has or 0, len(wanted.dependency_cone))])
            limits.check_places(workstation, int(has is None), more)
            place, created = self.get_or_create(
                item=item,
                workstation=workstation,
                context_level=wanted.context_level,
                object_id=wanted.object_id,
                defaults={
                    "dependency_cone": list(wanted.dependency_cone),
                    "note": wanted.note or "",
                    "connection_id": connection_id,
                },
            )
            if not created:
                self._renew(place, wanted, connection_id)
            line = self.filter(rows_about([lock])).with_position()
            standing = next(one for one in line if one.pk == place.pk)
            event_log.append(here)
            return Standing(standing, existing=not created, holder=holder)

    def step_out(self, place_id: uuid.UUID) -> None:
        """Leave the line, and take back what the workstation has asked of the holder: nobody waits there any more.

        Raises:
            NotFound: if the place is not there any more: it was lost, or its turn has come.
        """
        # Its models import this file.
        from sessions_app.models.handoff_request import HandoffRequest

        with transaction.atomic():
            workstations = self.filter(pk=place_id).values_list("workstation_id", flat=True)
            Workstation.objects.lock(list(workstations))
            place = self.filter(pk=place_id).defer("dependency_cone").first()
            if place is None:
                raise NotFound("There is no such place in line.")
            self.filter(pk=place_id).delete()
            HandoffRequest.objects.filter(
                workstation=place.workstation_id,
                session__item=place.item_id,
                session__context_level=place.context_level,
                session__object_id=place.object_id,
            ).delete()

    def lose(
        self, timeout: timedelta, limit: int, among: Collection[uuid.UUID] | None = None
    ) -> list["PlaceInLine"]:
        """Delete the places that are lost by the time-out, or with their user; return them.

        Args:
            timeout: how long a workstation without a stream keeps its places.
            limit: at most so many.
            among: only these.
        """
        lost = self.lost(timeout)
        if among is not None:
            lost = lost.filter(pk__in=among)
        found = dict(lost.values_list("pk", "workstation_id")[:limit])
        if not found:
            return []
        with transaction.atomic():
            Workstation.objects.lock(set(found.values()))
            # Who is back has said so under this lock: asked again by a later statement.
            gone = list(lost.filter(pk__in=found).select_related("item", "workstation__user"))
            self.filter(pk__in=[place.pk for place in gone]).delete()
        return gone

    def turns(self, locks: Collection[Lock]) -> list["PlaceInLine"]:
        """Return the first reachable place in the line for each of these locks, if there is one.

        The caller has locked the items. The places are locked, and their workstations: these are only tried,
        because it is not their turn in the order of locks.

        Raises:
            NeedsLocks: somebody else has one of these workstations locked; see `with_lock_retry`.
        """
        if not self.filter(rows_about(locks)).exists():
            # As nearly always; who is reachable takes a longer question.
            return []
        locked: set[uuid.UUID] = set()
        while first := self._first(locks):
            needed = {place.workstation_id for place in first.values()} - locked
            if not needed:
                places = self.filter(pk__in=[place.pk for place in first.values()])
                chosen = places.select_related("item", "workstation__user").order_by("pk")
                return list(chosen.select_for_update(of=("self",)))
            got = Workstation.objects.try_lock(needed)
            if needed - got:
                raise NeedsLocks(needed - got)
            # Until they were locked, they could leave: asked again by a later statement.
            locked |= got
        return []

    def _renew(
        self, place: "PlaceInLine", wanted: "Wanted", connection_id: uuid.UUID | None
    ) -> None:
        """Give a place the cone and the note that are wanted now, and the stream, where who took it named none."""
        changed: dict[str, Any] = {}
        if wanted.dependency_cone:
            changed["dependency_cone"] = list(wanted.dependency_cone)
        if wanted.note is not None:
            changed["note"] = wanted.note
        if connection_id and place.connection_id is None:
            changed["connection_id"] = connection_id
        if changed:
            self.filter(pk=place.pk).update(**changed)

    def _before(self, workstation: Workstation, lock: Lock) -> PlaceInLineQuerySet:
        """Those in the line for a lock who came before a workstation, or would if it came now."""
        line: PlaceInLineQuerySet = self.filter(rows_about([lock]))
        own = line.filter(workstation=workstation).values_list("number", flat=True).first()
        return line.filter(number__lt=own) if own else line

    def _first(self, locks: Collection[Lock]) -> dict[Lock, Any]:
        """Return the first reachable place for each lock, up to `MAX_TURN_NODE_KEYS`; the others' turn is later."""
        one_line = ("item_id", "context_level", "object_id")
        first = self.filter(rows_about(locks)).reachable().order_by(*one_line, "number")
        found = by_lock(first.distinct(*one_line).defer("dependency_cone"), locks)
        in_order = sorted(found.items(), key=lambda pair: pair[1].number)
        sized = ((turn, turn[1].node_keys) for turn in in_order)
        return dict(few_enough(sized, MAX_TURN_NODE_KEYS))
