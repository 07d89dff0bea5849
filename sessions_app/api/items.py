"""`/api/items`: the parts, assemblies and documents that can be edited."""

from typing import Annotated, Any

from django.db.models import Q
from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from sessions_app.api.answers import answers
from sessions_app.api.fields import PageLimit, PartNumber, Text
from sessions_app.api.request_schemas import ItemIn, RenameIn
from sessions_app.authentication import ADMIN, EDITOR, VIEWER
from sessions_app.errors import AlreadyExists, NotFound
from sessions_app.models import FormerPartNumber, Item
from sessions_app.operations import items
from sessions_app.paging import first_page
from sessions_app.payloads import item_json
from sessions_app.payloads.item import ItemOut, ItemsOut
from sessions_app.payloads.shape import Json
from sessions_app.text import folded, name_key

router = Router(tags=["items"])

# Below the item's address: what ends it is part of no part number.
ONE = "/{part_number:part_number}"


@router.get("", auth=VIEWER, response=answers(ItemsOut))
def list_items(
    request: HttpRequest,
    search: Annotated[Text, Field(description="Part of the number or the description.")] = "",
    prefix: Annotated[Text, Field(description="The beginning of the number.")] = "",
    after: Annotated[Text, Field(description="`next` of the page before.")] = "",
    retired: Annotated[bool, Field(description="Include retired items.")] = False,
    limit: PageLimit = 100,
) -> Json:
    """List items by part number, a page at a time. The spelling of a part number makes no difference."""
    found = Item.objects.filter(key__gt=name_key(after))
    if not retired:
        found = found.filter(retired_at=None)
    if search:
        former = FormerPartNumber.objects.filter(key__contains=name_key(search))
        number = Q(key__contains=name_key(search)) | Q(pk__in=former.values("item"))
        found = found.filter(number | Q(description__icontains=search))
    if prefix:
        found = found.filter(key__startswith=folded(prefix).lstrip())
    page, last = first_page(found.order_by("key"), limit)
    return {
        "items": [item_json(item) for item in page],
        "next": last.part_number if last else None,
    }


@router.post("", auth=EDITOR, response=answers({201: ItemOut}, AlreadyExists))
def create_item(request: HttpRequest, body: ItemIn) -> Status[Any]:
    """Create an item."""
    return Status(201, item_json(items.create(**body.model_dump())))


@router.post(ONE + "/rename", auth=ADMIN, response=answers(ItemOut, NotFound, AlreadyExists))
def rename_item(request: HttpRequest, part_number: PartNumber, body: RenameIn) -> Json:
    """Give an item another part number, or another spelling. Sessions, line and history stay.

    The former number still finds them, but nothing new can begin under it: such a request is answered 404 with
    `renamed_to`.
    """
    return item_json(items.rename(part_number, body.part_number))


@router.post(ONE + "/retire", auth=ADMIN, response=answers(ItemOut, NotFound))
def retire_item(request: HttpRequest, part_number: PartNumber) -> Json:
    """Retire an item: nothing new begins on it, and lists no longer show it. Idempotent.

    Its lines are emptied. Its sessions go on until they are released.
    """
    item = Item.objects.named(part_number)
    items.retire([item.pk])
    return item_json(Item.objects.get(pk=item.pk))


@router.post(ONE + "/restore", auth=ADMIN, response=answers(ItemOut, NotFound))
def restore_item(request: HttpRequest, part_number: PartNumber) -> Json:
    """Restore a retired item, so that it can be edited again. Idempotent."""
    item = Item.objects.named(part_number)
    items.restore([item.pk])
    return item_json(Item.objects.get(pk=item.pk))
