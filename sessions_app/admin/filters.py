"""The filters of the lists. None of them reads a table to find out its choices."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from sessions_app import accounts
from sessions_app.models import Item, Workstation
from sessions_app.models.abstract_edit_session import ContextLevel


class ChoiceFilter(admin.SimpleListFilter):
    """A filter with fixed choices. An address with any other value filters nothing."""

    # For each value in an address its text, and the rows that it leaves.
    options: ClassVar[Mapping[str, tuple[str, Q]]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, text) for value, (text, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        _, rows = self.options.get(self.value() or "", ("", Q()))
        return queryset.filter(rows)


def before(field: str, **time: float) -> Q:
    """Return the condition that a time is longer ago than this, by the database's clock."""
    return Q(**{f"{field}__lt": Now() - timedelta(**time)})


class ConnectedFilter(ChoiceFilter):
    """By the annotation `connected`."""

    title = parameter_name = "connected"
    options = {"yes": ("Yes", Q(connected=True)), "no": ("No", Q(connected=False))}


class LevelFilter(ChoiceFilter):
    """By the context level, which is spelled as in the API."""

    title = "level"
    parameter_name = "context_level__exact"
    options = {level: (level, Q(context_level=level)) for level in ContextLevel.values}


_DURATIONS: Final = {
    "1m": ("1 min", {"minutes": 1}),
    "5m": ("5 min", {"minutes": 5}),
    "15m": ("15 min", {"minutes": 15}),
    "30m": ("30 min", {"minutes": 30}),
    "1h": ("1 h", {"hours": 1}),
    "2h": ("2 h", {"hours": 2}),
    "8h": ("8 h", {"hours": 8}),
    "1d": ("1 d", {"days": 1}),
    "7d": ("7 d", {"days": 7}),
}


def longer_than(field: str, *durations: str) -> dict[str, tuple[str, Q]]:
    """Return the options of a filter by how long ago a time is."""
    return {one: (_DURATIONS[one][0], before(field, **_DURATIONS[one][1])) for one in durations}


class SilentFilter(ChoiceFilter):
    """By the time since the last heartbeat."""

    title = "silent for longer than"
    parameter_name = "silent"
    options = longer_than("last_heartbeat", "1m", "5m", "15m", "1h")


class IdleFilter(ChoiceFilter):
    """By the time for which nobody has touched the workstation, by its client's word."""

    title = "idle for longer than"
    parameter_name = "idle"
    options = {
        **longer_than("workstation__idle_since", "5m", "30m", "2h"),
        "no": ("not idle", Q(workstation__idle_since__isnull=True)),
    }


class HeldFilter(ChoiceFilter):
    """By age."""

    title = "held for longer than"
    parameter_name = "held"
    options = longer_than("acquired_at", "1h", "8h", "1d", "7d")


class TextFilter(admin.SimpleListFilter):
    """A filter by a text that one types: there may be too many values for a list of them."""

    template = "admin/sessions_app/text_filter.html"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.others: list[tuple[str, str]] = []

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return none; what else filters the list is kept by the form."""
        self.others = [
            (name, text)
            for name, texts in request.GET.lists()
            for text in texts
            if name not in {self.parameter_name, "p"}
        ]
        return []

    def has_output(self) -> bool:
        """It stands on the page, and filters, always."""
        return True

    def choices(self, changelist: Any) -> Any:
        """Yield the way back to all rows."""
        yield {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": "All",
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        return queryset.filter(self.rows(text)) if text else queryset

    def rows(self, text: str) -> Q:
        """Return which rows are about this text."""
        raise NotImplementedError


class UserFilter(TextFilter):
    """By the name of a user's account, in any spelling."""

    title = parameter_name = "user"
    lookup = "user__username"

    def rows(self, text: str) -> Q:
        """Return which rows are this user's."""
        return Q(**{self.lookup: accounts.own_spelling(text)})


class WorkstationUserFilter(UserFilter):
    """By the user of a workstation."""

    lookup = "workstation__user__username"


class RecordUserFilter(UserFilter):
    """By the name of then."""

    lookup = "username"


class ItemFilter(TextFilter):
    """By a part number, present or former, in any spelling."""

    title = parameter_name = "item"

    def rows(self, text: str) -> Q:
        """Return which rows are about this item. They are found by ids: that goes by an index."""
        return Q(item_id__in=Item.objects.ids_on_record(text))


class RecordItemFilter(ItemFilter):
    """By a part number in the record; of an item that is gone, by what it was called."""

    def rows(self, text: str) -> Q:
        """Return which records are about this item."""
        ids = Item.objects.ids_on_record(text)
        return Q(item_id__in=ids) if ids else Q(part_number=text)


class IdFilter(admin.SimpleListFilter):
    """A filter by an id, which only links set; it stands on the page while it filters."""

    # The column with the id.
    field = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return none but what was set."""
        value = self.value()
        return [(value, self.text(value))] if value else []

    def text(self, value: str) -> str:
        """Return what the chosen value is called."""
        return value

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.field: _uuid(value)}) if value else queryset


class WorkstationFilter(IdFilter):
    """By the id of a workstation."""

    title = parameter_name = "workstation"
    field = "workstation_id"

    def text(self, value: str) -> str:
        """Return the workstation's name, while there is one."""
        pk = _uuid(value)
        name = Workstation.objects.filter(pk=pk).values_list("name", flat=True).first()
        return name or value


class ConnectionWorkstationFilter(WorkstationFilter):
    """By the key of a connection."""

    field = "key"


class ServerFilter(IdFilter):
    """By the id of a server process."""

    title = parameter_name = "server"
    field = "process_id"


def _uuid(text: str) -> uuid.UUID:
    """Return the id that a text is; one that nothing has, for any other text."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)
