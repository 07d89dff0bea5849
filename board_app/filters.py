"""Which sessions a board shows: what is searched and chosen stands in its address, so that a view can be bookmarked."""

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from django.db.models import Exists, Q
from django.http import QueryDict

from sessions_app import accounts
from sessions_app.authentication import Principal
from sessions_app.models import EditSession, Item, PlaceInLine, Workstation
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.models.place_in_line import PlaceInLineQuerySet, line_of_outer
from sessions_app.models.workstation import WorkstationQuerySet
from sessions_app.text import name_key, text_fault

# A session is touched every half minute, so one that is silent for a minute has missed a heartbeat.
SILENT_MINUTES: Final = (1, 5, 15, 60)
# Each word of a search is looked for by itself.
MAX_WORDS: Final = 5
MAX_LENGTH: Final = 200
# Fencing tokens, of which one begins a page.
_TOKEN = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Filters:
    """What an address asks for.

    Args:
        search: words that part number, user or workstation contain.
        mine: only the sessions of who asks.
        user: only those of the user with this name.
        item: only those on the item that has, or had, this part number.
        workstation: only those of the workstation with this id, or of those with this name.
        silent: only those without a heartbeat for so many minutes; 0 for all.
        waited: only those for which somebody stands in line.
        before: only those with a lower fencing token: the pages after the first one.
    """

    search: str = ""
    mine: bool = False
    user: str = ""
    item: str = ""
    workstation: str = ""
    silent: int = 0
    waited: bool = False
    before: int | None = None

    @classmethod
    def of(cls, query: QueryDict) -> "Filters":
        """Read them from the query of an address. What is no choice is none: an old bookmark shows more."""
        silent, before = query.get("silent", ""), query.get("before", "")
        return cls(
            search=_text(query, "q"),
            mine=query.get("mine") == "1",
            user=_text(query, "user"),
            item=_text(query, "item"),
            workstation=_text(query, "workstation"),
            silent=int(silent) if silent in map(str, SILENT_MINUTES) else 0,
            waited=query.get("waited") == "1",
            before=int(before) if _TOKEN.fullmatch(before) else None,
        )

    @property
    def chosen(self) -> dict[str, str]:
        """What is chosen, but for the page, as the query of an address has it."""
        given = {
            "q": self.search,
            "mine": "1" if self.mine else "",
            "user": self.user,
            "item": self.item,
            "workstation": self.workstation,
            "silent": str(self.silent or ""),
            "waited": "1" if self.waited else "",
        }
        return {name: value for name, value in given.items() if value}

    @property
    def query(self) -> str:
        """The query of the address of the first page, with a "?"; "" where nothing is chosen."""
        return f"?{urlencode(self.chosen)}" if self.chosen else ""

    @property
    def query_of_page(self) -> str:
        """The query of the address of this page, without a "?"."""
        return urlencode(self.chosen | ({"before": str(self.before)} if self.before else {}))

    def query_before(self, token: int) -> str:
        """Return the query of the page whose sessions have lower fencing tokens."""
        return f"?{urlencode({**self.chosen, 'before': token})}"

    def sessions(self, who: Principal) -> EditSessionQuerySet:
        """Return the sessions that are asked for, on all pages together."""
        sessions = EditSession.objects.all()
        if self.mine:
            sessions = sessions.filter(user=who.user)
        if self.user:
            sessions = sessions.filter(user__username=accounts.own_spelling(self.user))
        if self.item:
            sessions = sessions.filter(item__in=Item.objects.ids_on_record(self.item))
        if self.workstation:
            sessions = sessions.filter(workstation__in=self._workstations())
        if self.silent:
            sessions = sessions.stale(timedelta(minutes=self.silent))
        if self.waited:
            sessions = sessions.filter(Exists(line_of_outer()))
        for word in self.search.split()[:MAX_WORDS]:
            sessions = sessions.filter(_contains(word))
        return sessions

    def places(self) -> PlaceInLineQuerySet:
        """Return the places in line on the item, of the user and of the workstation that are asked for."""
        places = PlaceInLine.objects.all()
        if self.user:
            name = accounts.own_spelling(self.user)
            places = places.filter(workstation__user__username=name)
        if self.item:
            places = places.filter(item__in=Item.objects.ids_on_record(self.item))
        if self.workstation:
            places = places.filter(workstation__in=self._workstations())
        return places

    def _workstations(self) -> WorkstationQuerySet:
        try:
            return Workstation.objects.filter(pk=uuid.UUID(self.workstation))
        except ValueError:
            return Workstation.objects.filter(name__iexact=self.workstation)


def _text(query: QueryDict, name: str) -> str:
    text = query.get(name, "").strip()
    return "" if text_fault(text) or len(text) > MAX_LENGTH else text


def _contains(word: str) -> Q:
    return (
        Q(item__key__contains=name_key(word))
        | Q(user__username__icontains=word)
        | Q(user__first_name__icontains=word)
        | Q(user__last_name__icontains=word)
        | Q(workstation__name__icontains=word)
    )
