"""`/api/items`: what can be edited."""

from typing import Annotated, Any

from django.db import IntegrityError, transaction
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
from sessions_app.models import Item

router = Router(tags=["items"])


@router.get("", auth=VIEWER, response=answers(ItemsOut))
def list_items(
    request: HttpRequest,
    search: Annotated[Text, Field(description="Part of the number or the description.")] = "",
    prefix: Annotated[Text, Field(description="How the number begins, in capitals or not.")] = "",
    after: Annotated[Text, Field(description="`next` of the page before.")] = "",
    limit: PageLimit = 100,
) -> Answer:
    """List items by part number, a page at a time."""
    items = Item.objects.filter(part_number__gt=after)
    if search:
        items = items.filter(Q(part_number__icontains=search) | Q(description__icontains=search))
    if prefix:
        items = items.filter(part_number__istartswith=prefix)
    page = list(items.order_by("part_number")[: limit + 1])
    more = len(page) > limit
    page = page[:limit]
    return {"items": page, "next": page[-1].part_number if more else None}


@router.post("", auth=EDITOR, response=answers({201: ItemOut}, AlreadyExists))
def create_item(request: HttpRequest, body: ItemIn) -> Status[Any]:
    """Make an item known."""
    try:
        with transaction.atomic():
            item = Item.objects.create(**body.model_dump())
    except IntegrityError:
        raise AlreadyExists("There is an item with this part number.") from None
    return Status(201, item)
