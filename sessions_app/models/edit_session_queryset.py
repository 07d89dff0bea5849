"""Which edit sessions there are: stale ones, old ones, those of an item."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Count, Expression, Q, Sum
from django.db.models.functions import Now

from events_app.models import is_connected
from sessions_app.interference.holdings import Holders, Holding
from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.ended_session import LOCKED_TO_END


class EditSessionQuerySet(models.QuerySet[AbstractEditSession]):
    """Queries of active sessions; who meets whom is asked in `sessions_app/interference`."""

    def stale(self, timeout: timedelta) -> Self:
        """Those without a heartbeat for longer than `timeout`, by the database's clock."""
        return self.filter(last_heartbeat__lt=Now() - timeout)

    def older_than(self, age: timedelta) -> Self:
        """Those acquired longer ago than `age`, by the database's clock."""
        return self.filter(acquired_at__lt=Now() - age)

    def with_names(self) -> Self:
        """Load what a session is shown with; a cone may have 10,000 keys and is left out."""
        return self.select_related("item", "user", "workstation").defer("dependency_cone")

    def with_connected(self) -> Self:
        """Load `connected`: whether its workstation has a stream, on any server."""
        return self.annotate(connected=is_connected("workstation_id"))

    def locking_to_end(self) -> "models.QuerySet[Any, Any]":
        """Return the query that locks these sessions in the order of their ids; its rows begin those of `Ending`.

        They end now, by the database's clock.
        """
        rows = self.annotate(ended_at=Now()).values_list(*LOCKED_TO_END)
        return rows.order_by("pk").select_for_update(of=("self",))

    def touching(
        self, workstation_ids: list[uuid.UUID], only: Q | None = None, *, wait: bool
    ) -> Self:
        """Return the sessions that `touch_heartbeat` touches; it locks them in the order of their ids.

        Each step goes by one index alone, and is done once before the next one. So a plan that was made while there
        were no sessions is right for thousands: asked for both at once, PostgreSQL would read all sessions in the order
        of their ids, and with `in` it would do so again for each of them.
        """
        theirs = self.filter(workstation__any=workstation_ids).order_by().values("pk")
        rows = self.filter(only or Q(), pk__any=ArraySubquery(theirs)).order_by("pk")
        locked = rows.select_for_update(no_key=True, skip_locked=not wait).values("pk")
        return self.filter(pk__any=ArraySubquery(locked))

    def in_the_log(self, pk: uuid.UUID) -> dict[str, Any]:
        """Return what the log says of a session, if it is still there."""
        named = self.filter(pk=pk).values_list("item__part_number", "workstation__name")
        return {
            "session": pk,
            **dict(zip(("item", "workstation"), named.first() or (), strict=False)),
        }

    def with_shared(self, shared: Expression) -> Self:
        """Load `shared`: the node keys that this expression names."""
        return self.annotate(shared=shared)

    def holders(self, items: Collection[uuid.UUID]) -> Holders:
        """Return who holds how much on these items."""
        return holders_of(self.holdings(items))

    def holdings(self, items: Collection[uuid.UUID]) -> "models.QuerySet[Any, Any]":
        """Return the query of the rows for `holders_of`, of these items."""
        return self.filter(item__any=items).holding_rows()

    def holding_rows(self) -> "models.QuerySet[Any, Any]":
        """Return the query of the rows for `holders_of`, of all sessions on some items."""
        rows = self.order_by().values_list("item_id", "workstation_id")
        return rows.annotate(Count("pk"), Sum("node_keys"))


def holders_of(rows: Iterable[tuple[Any, ...]]) -> Holders:
    """Return who holds how much, from the rows of `holdings`."""
    found: Holders = defaultdict(dict)
    for item, workstation, count, keys in rows:
        found[item][workstation] = Holding(count, keys)
    return found
