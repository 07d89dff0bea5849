"""The history of ended sessions, in JSON or CSV."""

from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Router
from pydantic import Field

from sessions_app import accounts, csv_answer
from sessions_app.api.answers import answers
from sessions_app.api.fields import Instant, PageLimit, PartNumber, Text
from sessions_app.api.history_csv import COLUMNS, HISTORY
from sessions_app.authentication import VIEWER
from sessions_app.models import EndedSession
from sessions_app.models.ended_session import EndReason
from sessions_app.paging import first_page
from sessions_app.payloads import ended_json
from sessions_app.payloads.ended import HistoryOut

router = Router(tags=["history"])

# The page size of JSON where the request names none.
PAGE = 100

# The second kind of answer, for the API's description.
CSV = {
    "content": {"text/csv": {"schema": {"type": "string"}, "example": ",".join(COLUMNS) + "\r\n"}},
    "headers": {
        "X-Next": {
            "description": "With CSV and `limit`: give it as `before` for the next page; absent on the last.",
            "schema": {"type": "integer"},
        }
    },
}


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
    limit: Annotated[
        PageLimit | None, Field(description="Without it 100 in JSON, and all in CSV.")
    ] = None,
    format: Literal["json", "csv"] = "json",
) -> Any:
    """List ended sessions, the latest first: in JSON a page at a time, in CSV all of them.

    CSV begins with a byte order mark. Text that a spreadsheet would take for a formula has an apostrophe before it.
    With `limit` the CSV is one page, and `X-Next` names the next one. If the connection breaks, the CSV is incomplete.
    """
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
    if format == "csv":
        return csv_answer.answer(request, HISTORY, records, before, limit)
    limit = limit or PAGE
    page, last = first_page(records.before(before), limit)
    return {"history": [ended_json(record) for record in page], "next": last.pk if last else None}
