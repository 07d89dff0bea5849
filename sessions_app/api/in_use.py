"""Who holds and who waits for each of many items: one answer, and the cursor of the events after it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest
from ninja import Router

from events_app.database import sql
from events_app.log import event_log
from sessions_app import payloads
from sessions_app.api.answers import answers
from sessions_app.api.request_schemas import ItemsIn
from sessions_app.authentication import VIEWER
from sessions_app.models import EditSession, Item, PlaceInLine
from sessions_app.payloads.in_use import InUseOut
from sessions_app.payloads.shape import Json

router = Router(tags=["edit sessions"])

# Sessions and places in one answer: some 800 kB, as in `stream-open`. One item may have as many of each.
MOST: Final = 1_000


@router.post("/edit-sessions/in-use", auth=VIEWER, response=answers(InUseOut))
def in_use(request: HttpRequest, body: ItemsIn) -> Json:
    """Return who holds and who waits for each of these items, as of one moment.

    The events from `cursor` on report the changes after it. An item that does not exist is named in `unknown`, and the
    others are answered. The request changes nothing; with a login session it needs `X-CSRFToken`, as every POST does.
    """
    with sql.one_snapshot():
        known = Item.objects.known(body.items)
        asked = defaultdict(list)
        for number in dict.fromkeys(body.items):
            if number in known:
                asked[known[number].pk].append(number)
        items = {item.pk: item for item in known.values()}
        shown = _first_of(asked, _counted(asked))
        sessions = EditSession.objects.with_names().filter(item__in=shown)
        places = PlaceInLine.objects.filter(item__in=shown).with_position()
        holding, waiting = defaultdict(list), defaultdict(list)
        # More than these only one item alone can have.
        for session in sessions.order_by("fencing_token")[: MOST + 1]:
            holding[session.item_id].append(session)
        for place in places.order_by("context_level", "object_id", "number")[: MOST + 1]:
            waiting[place.item_id].append(place)
        return {
            "items": [
                payloads.in_use_json(items[pk], asked[pk], holding[pk], waiting[pk], MOST)
                for pk in shown
            ],
            "unknown": [number for number in dict.fromkeys(body.items) if number not in known],
            "left": [number for pk in asked if pk not in shown for number in asked[pk]],
            "cursor": str(event_log.state().head),
        }


def _counted(ids: Iterable[UUID]) -> Counter[UUID]:
    """Return how many sessions and places there are on each of these items."""
    found: Counter[UUID] = Counter()
    for rows in (EditSession.objects.all(), PlaceInLine.objects.all()):
        some = rows.filter(item__in=list(ids)).order_by()
        found.update(dict(some.values_list("item_id").annotate(count=Count("pk"))))
    return found


def _first_of(ids: Iterable[UUID], counted: Mapping[UUID, int]) -> list[UUID]:
    """Return the first items that together have at most `MOST`, and the very first one in any case."""
    shown: list[UUID] = []
    total = 0
    for pk in ids:
        total += counted[pk]
        if shown and total > MOST:
            break
        shown.append(pk)
    return shown
