"""Places in line: which workstations wait for an edit session that another one has, and whose turn it is."""

import uuid
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Count, Exists, F, Func, IntegerField, OuterRef, Q, Subquery, Window
from django.db.models.functions import Coalesce, Now, RowNumber

from events_app.database.lock_retry import NeedsLocks
from events_app.database.round_trip import Query, Statement
from events_app.models import Connection
from events_app.presence.outages import observed_for
from sessions_app.locks import Lock, about, by_lock, lists_about, rows_about
from sessions_app.models.item import Item
from sessions_app.models.workstation import Workstation
from sessions_app.paging import first_page
from sessions_app.steps import few_enough
from sessions_app.text import NOTE_MAX

# As in a batch: what one transaction writes stays within a second or two. The next beat goes on with the rest.
MAX_TURN_NODE_KEYS: Final = 100_000


class NextPlaceNumber(Func):
    """Draws the next number. It is drawn under the item's lock, so numbers are first come, first served."""

    template = "nextval('sessions_app_place_number')"
    output_field = models.BigIntegerField()


class PlaceInLineQuerySet(models.QuerySet["PlaceInLine"]):
    """Queries of the line."""

    def with_names(self) -> Self:
        """Load what a place is shown with; a cone may have 10,000 keys and is left out."""
        return self.select_related("item", "workstation__user").defer("dependency_cone")

    def with_position(self) -> Self:
        """Load places with their names and their `position`, from 1. Filter by whole lines before, not after."""
        position = Window(
            RowNumber(),
            partition_by=[F("item"), F("context_level"), F("object_id")],
            order_by="number",
        )
        return self.with_names().annotate(position=position)

    def with_counted_position(self) -> Self:
        """Load places with their `position`, from 1, however they are filtered: what stands before is counted."""
        before = line_of_outer().filter(number__lt=OuterRef("number"))
        counted = before.values("item").annotate(count=Count("pk")).values("count")
        return self.annotate(position=Coalesce(Subquery(counted, IntegerField()), 0) + 1)

    def page(
        self, after: tuple[str, str, int] | None, limit: int
    ) -> tuple[list["PlaceInLine"], "PlaceInLine | None"]:
        """Return a page of whole lines on one item, with names and positions, as `first_page` does.

        Two queries at most, which read the page and count what stands before it in the line that it begins in.

        Args:
            after: level, object and number of the last place of the page before; None for the first page.
            limit: how many places.
        """
        found = self.with_names()
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
        places, last = first_page(found.order_by("context_level", "object_id", "number"), limit)
        positions = Counter({after[:2]: before} if after else {})
        for place in places:
            lock = place.context_level, place.object_id
            positions[lock] += 1
            place.position = positions[lock]
        return places, last

    def in_the_log(self, pk: uuid.UUID) -> dict[str, Any]:
        """Return what the log says of a place, if it is still there."""
        named = self.filter(pk=pk).values_list("item__part_number", "workstation__name")
        return {
            "place": pk,
            **dict(zip(("item", "workstation"), named.first() or (), strict=False)),
        }

    def reachable(self) -> Self:
        """Those whose workstation would hear of its turn."""
        return self.filter(workstation__in=Workstation.objects.reachable())

    def before(self, workstation: Workstation) -> Self:
        """Those of this line that came before a workstation, or would if it came now."""
        own = self.filter(workstation=workstation).values_list("number", flat=True).first()
        return self.filter(number__lt=own) if own else self

    def lost(self, timeout: timedelta) -> Self:
        """Those of deactivated users, and of workstations that no server has seen for longer than `timeout`."""
        unseen = Q(workstation__last_seen__lt=Now() - timeout)
        connected = Exists(Connection.objects.filter(key=OuterRef("workstation")))
        return self.filter(
            Q(workstation__user__is_active=False) | (unseen & ~connected & observed_for(timeout))
        )


_Manager = models.Manager.from_queryset(PlaceInLineQuerySet)


class PlaceInLineManager(_Manager["PlaceInLine"]):
    """How long lines are, and whose turn it is. What people and time do with them is in `operations/line.py`."""

    def lengths(self, locks: Collection[Lock]) -> dict[Lock, int]:
        """Return how many places the line for each of these locks has, in the order of the locks."""
        if not locks:
            return {}
        rows = self.filter(rows_about(locks)).values_list(*Lock._fields).annotate(Count("pk"))
        counted = {Lock(*lock): count for *lock, count in rows}
        return {lock: counted.get(lock, 0) for lock in sorted(locks)}

    def anybody(self, locks: Collection[Lock]) -> Query:
        """Return the statement that has a row if anybody may stand in a line for one of these locks."""
        return _ANYBODY(*lists_about(locks))

    def lines_of(self, ids: Collection[uuid.UUID]) -> Query:
        """Return the statement that reads for which locks these (locked) workstations stand in line."""
        return _LINES_OF(ids)

    def leaving_all(self, ids: Collection[uuid.UUID]) -> Query:
        """Return the statement that deletes the places of these (locked) workstations."""
        return _DELETE_OF(ids)

    def turns(self, locks: Collection[Lock]) -> list["PlaceInLine"]:
        """Return the first reachable place in the line for each of these locks, if there is one.

        The caller has locked the items. The places are locked, and their workstations: these are only tried,
        because it is not their turn in the order of locks.

        Raises:
            NeedsLocks: another transaction has one of these workstations locked; see `with_lock_retry`.
        """
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

    def _first(self, locks: Collection[Lock]) -> dict[Lock, "PlaceInLine"]:
        """Return the first reachable place for each lock, up to `MAX_TURN_NODE_KEYS`; the others' turn is later."""
        one_line = ("item_id", "context_level", "object_id")
        first = self.filter(rows_about(locks)).reachable().order_by(*one_line, "number")
        found = by_lock(first.distinct(*one_line).defer("dependency_cone"), locks)
        in_order = sorted(found.items(), key=lambda pair: pair[1].number)
        sized = ((turn, turn[1].node_keys) for turn in in_order)
        return dict(few_enough(sized, MAX_TURN_NODE_KEYS))


class PlaceInLine(models.Model):
    """A workstation waits for a lock. Its row is written only under the workstation's lock."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(db_default=NextPlaceNumber(), unique=True, editable=False)
    item = models.ForeignKey(Item, on_delete=models.PROTECT, db_index=False)
    workstation = models.ForeignKey(Workstation, on_delete=models.PROTECT)
    # As in `EditSession`, which gets it in the turn.
    connection_id = models.UUIDField("taken by connection", null=True, editable=False)
    context_level = models.CharField(max_length=20)
    object_id = models.CharField(max_length=500, blank=True, default="")
    dependency_cone = ArrayField(models.TextField(), default=list, blank=True)
    # Of the cone; counted by the database.
    node_keys = models.IntegerField(db_default=0, editable=False)
    note = models.CharField(
        max_length=NOTE_MAX, blank=True, default="", db_default="", help_text="The session's then"
    )
    requested_at = models.DateTimeField(db_default=Now(), editable=False)

    # Not a column: from 1; only rows loaded by `with_position`, `with_counted_position` or `page` have it.
    position: int

    objects = PlaceInLineManager()

    class Meta:
        verbose_name_plural = "places in line"
        constraints = [
            models.UniqueConstraint(
                fields=["item", "context_level", "object_id", "workstation"],
                name="place_in_line_one_each",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.item} {self.context_level} {self.object_id}".strip()


def line_of_outer() -> PlaceInLineQuerySet:
    """Return the places in the line for the lock of the row of an outer query, in no order."""
    places = PlaceInLine.objects.filter(
        item=OuterRef("item"),
        context_level=OuterRef("context_level"),
        object_id=OuterRef("object_id"),
    )
    return places.order_by()


_ANYBODY: Final = Statement(
    lambda items, levels, objects: PlaceInLine.objects.filter(
        about(items, levels, objects)
    ).values_list("pk")[:1]
)
_LINES_OF: Final = Statement(
    lambda workstations: PlaceInLine.objects.filter(workstation__any=workstations).values_list(
        *Lock._fields
    )
)
_DELETE_OF: Final = Statement(
    lambda workstations: PlaceInLine.objects.filter(workstation__any=workstations), delete=True
)
