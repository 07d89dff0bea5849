"""The history: who held what, from when to when, and how it ended. In JSON or CSV."""

import csv
from datetime import datetime
from io import StringIO
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field

from sessions_app import accounts
from sessions_app.api.answer_schemas import Answer, HistoryOut
from sessions_app.api.answers import answers
from sessions_app.api.fields import Instant, PageLimit, PartNumber, Text
from sessions_app.authentication import VIEWER
from sessions_app.models import EndedSession, EndReason

router = Router(tags=["history"])

CSV_COLUMNS = (
    "session_id",
    "item_id",
    "part_number",
    "username",
    "workstation_id",
    "workstation_name",
    "context_level",
    "object_id",
    "fencing_token",
    "acquired_at",
    "last_heartbeat",
    "released_at",
    "reason",
    "ended_by",
    "note",
    "user_name",
    "session_note",
)
# What the description adds to the JSON.
CSV = {
    "content": {
        "text/csv": {"schema": {"type": "string"}, "example": ",".join(CSV_COLUMNS) + "\r\n"}
    },
    "headers": {
        "X-Next": {
            "description": "With CSV: give it as `before` for the next page; absent on the last.",
            "schema": {"type": "integer"},
        }
    },
}
# What a spreadsheet would take for a formula.
FORMULA_STARTS = ("=", "+", "-", "@")


@router.get(
    "/edit-sessions/history",
    auth=VIEWER,
    response=answers(HistoryOut),
    openapi_extra={"responses": {200: CSV}},
)
def history(
    request: HttpRequest,
    item: Annotated[PartNumber | None, Field(description="A part number.")] = None,
    user: Annotated[Text | None, Field(description="A username.")] = None,
    workstation: UUID | None = None,
    reason: EndReason | None = None,
    since: Annotated[Instant | None, Field(description="Ended at or after.")] = None,
    until: Annotated[Instant | None, Field(description="Ended before.")] = None,
    before: Annotated[
        int | None, Field(ge=0, lt=2**63, description="`next` of the page before.")
    ] = None,
    limit: PageLimit = 100,
    format: Literal["json", "csv"] = "json",
) -> Any:
    """List ended sessions, the latest first, a page at a time. A page of CSV names the next one in `X-Next`."""
    wanted = {
        "username": None if user is None else accounts.own_spelling(user),
        "workstation_id": workstation,
        "reason": reason,
        "released_at__gte": since,
        "released_at__lt": until,
    }
    records = EndedSession.objects.filter(**{k: v for k, v in wanted.items() if v is not None})
    if item is not None:
        records = records.of_item(item)
    page = list(records.page(before, limit + 1))
    following = page[limit - 1].pk if len(page) > limit else None
    if format == "csv":
        return _csv(page[:limit], following)
    return {"history": [_json(record) for record in page[:limit]], "next": following}


def _json(record: EndedSession) -> Answer:
    shown = {name: getattr(record, name) for name in CSV_COLUMNS}
    shown["user"] = shown.pop("username")
    shown["user_name"] = shown["user_name"] or shown["user"]
    workstation = {"id": shown.pop("workstation_id"), "name": shown.pop("workstation_name")}
    return shown | {"workstation": workstation}


def _csv(page: list[EndedSession], following: int | None) -> HttpResponse:
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for record in page:
        writer.writerow([_cell(getattr(record, name)) for name in CSV_COLUMNS])
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="edit-sessions.csv"'
    if following is not None:
        response["X-Next"] = str(following)
    return response


def _cell(value: Any) -> str:
    """Return a value as text that no spreadsheet executes."""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
