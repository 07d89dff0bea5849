"""The types of members and parameters: which values they accept, and their descriptions."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from ninja import Header
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sessions_app.models.abstract_edit_session import ContextLevel
from sessions_app.text import (
    MACHINE_MAX,
    PART_NUMBER_MAX,
    REASON_MAX,
    REFUSED,
    part_number_fault,
    text_fault,
    trimmed,
)


@dataclass(frozen=True)
class Pattern:
    """A regular expression that is only described: the validator beside it gives the better reason."""

    expression: str

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the expression to the description."""
        return handler(core_schema) | {"pattern": self.expression}


def _no_fault(text: str) -> str:
    if fault := text_fault(text):
        raise ValueError(fault)
    return text


def _is_part_number(text: str) -> str:
    if fault := part_number_fault(text):
        raise ValueError(fault)
    return trimmed(text)


def _is_not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _is_no_number(text: str) -> str:
    """Pydantic would take the year 2020 for 2,020 seconds after 1970."""
    if not re.match(r"\d{4}-", text):
        raise ValueError("must be a time as in RFC 3339, such as 2025-03-04T09:30:00Z")
    return text


def _with_plus(text: str) -> str:
    """In a query an unencoded plus is a blank, and where an offset begins it can be nothing else."""
    return re.sub(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$", r"\1+\2", text)


def as_whole(value: object) -> object:
    """Return a whole number as one: in JSON 1.0 is 1. Beyond 2**53 a number with a point may have been another one."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _in_utc(time: datetime) -> datetime:
    """Some offsets that Python knows are too large for PostgreSQL."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be in the years 1 to 9999 of UTC") from None


def _as_next(form: re.Pattern[str]) -> Callable[[str | None], str | None]:
    def is_next(text: str | None) -> str | None:
        if text is not None and not form.fullmatch(text):
            raise ValueError("must be `next` of the page before")
        return text

    return is_next


# What the functions above accept, said in the description: as escapes, where these are the same in every dialect.
_REFUSED = "".join(
    character if character == "-" or ord(character) > 0xFFFF else f"\\u{ord(character):04x}"
    for character in REFUSED
)
_NOT_BLANK = rf"[^{_REFUSED}]*[^\s{_REFUSED}][^{_REFUSED}]*$"
# All that is "." or ".." in another form.
_DOTS = r"(?!\s*([.\u2024\ufe52\uff0e]{1,2}|[\u2025\ufe30])\s*$)"
Text = Annotated[str, AfterValidator(_no_fault), Pattern(f"^[^{_REFUSED}]*$")]
Name = Annotated[
    Text,
    Field(min_length=1, max_length=200),
    AfterValidator(_is_not_blank),
    Pattern(f"^{_NOT_BLANK}"),
]
PartNumber = Annotated[
    str,
    Field(min_length=1, max_length=PART_NUMBER_MAX),
    AfterValidator(_is_part_number),
    Pattern(f"^{_DOTS}{_NOT_BLANK}"),
]
ObjectId = Annotated[Text, Field(max_length=500)]
NodeKey = Annotated[Text, Field(min_length=1, max_length=500)]
Reason = Annotated[Text, Field(max_length=REASON_MAX)]
Machine = Annotated[
    Text,
    # Ninja wants it last, and does not find the default of the signature beside other annotations.
    Header(
        "",
        alias="Silo-Machine",
        max_length=MACHINE_MAX,
        description="The running machine of the client, by a name of the client's choice: the same for all programs"
        " with one fingerprint on one machine until it is started again, a different one on every other machine and"
        " copy.",
    ),
]
ConnectionId = Annotated[
    UUID | None,
    Field(description="The client's open stream. If it has ended, the request is refused."),
]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_with_plus),
    BeforeValidator(_is_no_number),
    AfterValidator(_in_utc),
]
# In a body, where numbers are numbers.
WholeNumber = Annotated[int, Field(ge=0, lt=2**63, strict=True), BeforeValidator(as_whole)]
PageLimit = Annotated[int, Field(ge=1, le=1000)]
# Of a list that some clients read as one page: as many as a page may have.
WHOLE_PAGE = 1000
AFTER = "`next` of the page before."
After = Annotated[int, Field(ge=0, lt=2**63, description=AFTER)]
# When the last one was made, in microseconds since 1970, and its id.
AFTER_WORKSTATION = re.compile(r"([0-9]{1,17})\.([0-9a-f]{32})")
AfterWorkstation = Annotated[
    Text | None,
    AfterValidator(_as_next(AFTER_WORKSTATION)),
    Field(description=AFTER),
    Pattern(f"^{AFTER_WORKSTATION.pattern}$"),
]
# The lock and the number of the last place.
_LEVELS = "|".join(ContextLevel.values)
AFTER_PLACE = re.compile(rf"({_LEVELS})\.([0-9]{{1,18}})\.([^{_REFUSED}]{{0,500}})")
AfterPlace = Annotated[
    Text | None,
    AfterValidator(_as_next(AFTER_PLACE)),
    Field(description=AFTER),
    Pattern(f"^{AFTER_PLACE.pattern}$"),
]
