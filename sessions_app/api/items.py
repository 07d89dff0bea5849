"""`/api/items`: what can be edited."""

from typing import Annotated, Any

from django.db.models import Q
from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from sessions_app.api.answer_schemas import Answer, ItemOut, ItemsOut
from sessions_app.api.answers import answers
from sessions_app.api.fields import PageLimit, Text
from sessions_app.api.request_schemas import ItemIn
from sessions_app.authentication import EDITOR, VIEWER
from sessions_app.errors import AlreadyExists
from sessions_app.managers import items
from sessions_app.models import FormerPartNumber, Item
from sessions_app.text import folded, name_key

router = Router(tags=["items"])


@router.get("", auth=VIEWER, response=answers(ItemsOut))
def list_items(
    request: HttpRequest,
    search: Annotated[Text, Field(description="Part of the number or the description.")] = "",
    prefix: Annotated[Text, Field(description="How the number begins.")] = "",
    after: Annotated[Text, Field(description="`next` of the page before.")] = "",
    limit: PageLimit = 100,
) -> Answer:
    """List items by part number, a page at a time. Spellings of a number are not told apart."""
    found = Item.objects.filter(key__gt=name_key(after))
    if search:
        former = FormerPartNumber.objects.filter(key__contains=name_key(search))
        number = Q(key__contains=name_key(search)) | Q(pk__in=former.values("item"))
        found = found.filter(number | Q(description__icontains=search))
    if prefix:
        found = found.filter(key__startswith=folded(prefix).lstrip())
    page = list(found.order_by("key")[: limit + 1])
    more = len(page) > limit
    page = page[:limit]
    return {"items": page, "next": page[-1].part_number if more else None}


@router.post("", auth=EDITOR, response=answers({201: ItemOut}, AlreadyExists))
def create_item(request: HttpRequest, body: ItemIn) -> Status[Any]:
    """Make an item known."""
    return Status(201, items.create(**body.model_dump()))
