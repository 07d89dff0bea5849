"""The answers of an operation, in one line: `response=answers(ItemOut, NotFound, AlreadyExists)`.

An operation names only the errors that it raises itself; `silo/openapi.py` adds those that any operation may answer
(401, 422, ...). This file only describes errors; `silo/errors.py` answers them.
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
    TooManyTokens,
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
    TooManyTokens: LimitReachedOut,
    TooManyWorkstations: LimitReachedOut,
}


def answers(success: Any, *errors: type[DomainError]) -> dict[int, Any]:
    """Return the `response` of a Ninja operation.

    Args:
        success: the schema of the answer 200, or a schema (None for no body) for each status that is a success.
        errors: the errors that the operation raises.
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
        code: the member `error`.
        message: the description, and the example of the member `message`.
        name: of the schema, with or without `Error` at its end; without a name it is made from the code.
        base: the schema with the further members.
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
