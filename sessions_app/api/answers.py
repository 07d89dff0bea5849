"""What an operation may answer, in one line: `response=answers(ItemOut, NotFound, AlreadyExists)`.

Only what the operation itself raises is named; what the API answers for any of them (401, 422, ...) is added by
`silo/openapi.py`. Errors are raised, and answered by `silo/errors.py`: here they are only described.
"""

import inspect
from collections import defaultdict
from functools import cache, reduce
from operator import or_
from typing import Any, Literal

from pydantic import create_model

from events_app.http.envelope import content
from sessions_app.api.error_schemas import (
    ErrorOut,
    HeldByManyOut,
    HeldOut,
    IdentityInUseOut,
    InvalidOut,
    LimitReachedOut,
    MissingOut,
)
from sessions_app.errors import (
    BatchInterference,
    DomainError,
    HardInterference,
    IdentityInUse,
    Invalid,
    NotFound,
    TooManyNodeKeys,
    TooManyPlaces,
    TooManySessions,
    TooManyWorkstations,
)

# The errors that have further members.
MEMBERS: dict[type[DomainError], type[ErrorOut]] = {
    HardInterference: HeldOut,
    BatchInterference: HeldByManyOut,
    IdentityInUse: IdentityInUseOut,
    Invalid: InvalidOut,
    NotFound: MissingOut,
    TooManySessions: LimitReachedOut,
    TooManyNodeKeys: LimitReachedOut,
    TooManyPlaces: LimitReachedOut,
    TooManyWorkstations: LimitReachedOut,
}


def answers(success: Any, *errors: type[DomainError]) -> dict[int, Any]:
    """Return what Ninja takes as `response`.

    Args:
        success: the schema of the answer 200, or a schema (None for no body) for each status that is a success.
        errors: what the operation raises.
    """
    by_status = defaultdict(list)
    for error in errors:
        by_status[error.status].append(schema_of(error))
    successes = success if isinstance(success, dict) else {200: success}
    return successes | {status: reduce(or_, schemas) for status, schemas in by_status.items()}


def schema_of(error: type[DomainError]) -> type[ErrorOut]:
    """Return the schema of an error of the domain; its docstring is the description."""
    message = inspect.getdoc(error) or ""
    return error_schema(error.code, message, error.__name__, MEMBERS.get(error, ErrorOut))


@cache
def error_schema(
    code: str, message: str, name: str = "", base: type[ErrorOut] = ErrorOut
) -> type[ErrorOut]:
    """Return the schema of one error.

    Args:
        code: its `error`.
        message: what it says: its description and its example.
        name: of the schema, without its `Error`; made of the code without one.
        base: has the further members.
    """
    further = {
        member: field.examples[0] for member, field in base.model_fields.items() if field.examples
    }
    example = content(code, message, **further)
    named: dict[str, Any] = {"error": Literal[code]}
    schema: type[ErrorOut] = create_model(
        (name or "".join(map(str.title, code.split("_"))).removesuffix("Error")) + "Error",
        __base__=base,
        __doc__=message,
        __cls_kwargs__={"json_schema_extra": {"examples": [example]}},
        **named,
    )
    return schema
