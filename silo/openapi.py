"""The API's description: that which Ninja generates, and the additions to every operation."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from ninja import NinjaAPI
from ninja.openapi.schema import REF_TEMPLATE, OpenAPISchema
from ninja.operation import Operation
from ninja.schema import NinjaGenerateJsonSchema
from pydantic import BaseModel

from sessions_app.api import paths
from sessions_app.api.answers import error_schema, schema_of
from sessions_app.api.error_schemas import ErrorOut
from sessions_app.authentication import BearerAuth
from sessions_app.errors import (
    DomainError,
    Forbidden,
    Invalid,
    NotAuthenticated,
    NotFound,
    TooManyWrongTokens,
)
from sessions_app.payloads.events import EVENTS
from silo import health
from silo.errors import CODES, INVALID_JSON

Json = dict[str, Any]

_RETRY_AFTER: Json = {
    "Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}, "example": 1}
}
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "example": "Bearer"}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
# Requests that keep or release sessions (as does every DELETE), and those of a vault.
NEVER_REFUSED = {"alive", "release_many", "verify"}
# Streams have a limit of their own.
STREAMS = {"events", "events_of_many", "events_of_item"}


class DescribedAPI(NinjaAPI):
    """An API whose description has every answer. An operation is known by the name of its function."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: Json | None = None
    ) -> OpenAPISchema:
        if path_prefix is None:
            # What the service is shown below stands in `servers`.
            path_prefix = self.get_root_path(path_params or {}).removeprefix(
                settings.EVENTS_BASE_PATH
            )
        return Description(self, path_prefix)

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Return the name that generated clients give it."""
        return operation.view_func.__name__


class Description(OpenAPISchema):
    """The OpenAPI document."""

    def get_paths(self) -> Json:
        """Add the views that Django serves beside the API."""
        paths: Json = super().get_paths()
        beside = {path: {"get": self._view(*of)} for path, of in health.DESCRIBED.items()}
        return paths | beside

    def get_components(self) -> Json:
        """Add the payloads of events, which are the schema of no answer."""
        for event in EVENTS.values():
            self._add(event)
        components: Json = super().get_components()
        return components

    def operation_details(self, operation: Operation) -> Json:
        """Have the docstring's first sentence as the summary, and name the role."""
        details: Json = super().operation_details(operation)
        details["summary"], rest = _first_sentence(operation.description or "")
        right = next(
            auth.right for auth in operation.auth_callbacks if isinstance(auth, BearerAuth)
        )
        details["description"] = f"{rest}\n\n{right.described}".strip()
        return details

    def operation_parameters(self, operation: Operation) -> list[Json]:
        """Describe what is in paths by its name. OpenAPI wants one example where JSON Schema has a list."""
        parameters: list[Json] = super().operation_parameters(operation)
        for parameter in parameters:
            if in_schema := parameter.pop("examples", []):
                parameter["example"] = in_schema[0]
            if parameter["in"] == "path":
                parameter |= paths.DESCRIBED.get(parameter["name"], {})
        return parameters

    def responses(self, operation: Operation) -> dict[int, Any]:
        """Add the errors that the API itself answers; describe each error as one of its codes."""
        responses: dict[int, Any] = super().responses(operation)
        errors = {
            status: _names(responses.pop(status)) for status in list(responses) if status >= 400
        }
        for status, schema in _errors_of_the_api(operation):
            errors.setdefault(status, {})[self._add(schema)] = None
        return responses | {
            status: self._error(status, list(errors[status])) for status in sorted(errors)
        }

    def _error(self, status: int, names: list[str]) -> Json:
        """Return the description of an error answer whose body is one of these components."""
        shown = {name: self.schemas[name]["examples"][0] for name in names}
        refs = {shown[name]["error"]: REF_TEMPLATE.format(model=name) for name in names}
        schema: Json = {
            "oneOf": [{"$ref": ref} for ref in refs.values()],
            "discriminator": {"propertyName": "error", "mapping": refs},
        }
        if len(names) == 1:
            [schema] = schema["oneOf"]
        told = (f"`{example['error']}`: {example['message']}" for example in shown.values())
        examples_by_code = {example["error"]: {"value": example} for example in shown.values()}
        return {
            "description": "\n\n".join(told),
            "content": {"application/json": {"schema": schema, "examples": examples_by_code}},
            "headers": HEADERS.get(status, {}),
        }

    def _view(self, view: health.View, answers: Mapping[int, tuple[str, type[BaseModel]]]) -> Json:
        """Return the description of a view of Django's, which needs no credentials."""
        return {
            "operationId": view.__name__,
            "summary": _first_sentence(view.__doc__ or "")[0],
            "tags": ["health"],
            "security": [],
            "responses": {
                status: {
                    "description": description,
                    "content": {
                        "application/json": {
                            "schema": {"$ref": REF_TEMPLATE.format(model=self._add(schema))}
                        }
                    },
                }
                for status, (description, schema) in answers.items()
            },
        }

    def _add(self, schema: type[BaseModel]) -> str:
        """Add a component, and return its name."""
        described = schema.model_json_schema(
            ref_template=REF_TEMPLATE,
            schema_generator=NinjaGenerateJsonSchema,
            mode="serialization",
        )
        self.add_schema_definitions(described.pop("$defs", {}))
        self.add_schema_definitions({schema.__name__: described})
        return schema.__name__


def _errors_of_the_api(operation: Operation) -> Iterator[tuple[int, type[ErrorOut]]]:
    """Yield the errors that `silo/errors.py` may answer for any such operation."""
    sources = {model.__ninja_param_source__ for model in operation.models}
    errors: list[type[DomainError]] = [NotAuthenticated, Forbidden, TooManyWrongTokens]
    if "path" in sources:
        errors.append(NotFound)
    if sources:
        errors.append(Invalid)
    yield from ((error.status, schema_of(error)) for error in errors)
    if "body" in sources:
        yield 422, error_schema(*INVALID_JSON)
    for status in (400, 413, 414, 431, 500, 503):
        yield status, error_schema(*CODES[status])
    name = operation.view_func.__name__
    if "DELETE" not in operation.methods and name not in NEVER_REFUSED | STREAMS:
        yield 429, error_schema(*CODES[429])


def _first_sentence(text: str) -> tuple[str, str]:
    """Return a text's first sentence without its stop, and the rest."""
    first, _, rest = re.sub(r"\.(\s+|$)", "\0", text, count=1).partition("\0")
    return first, rest


def _names(answer: Json) -> dict[str, None]:
    """Return the names of the components of which a described error is one, in order."""
    schema = answer["content"]["application/json"]["schema"]
    refs = [one["$ref"] for one in schema.get("anyOf", [schema])]
    return dict.fromkeys(ref.rpartition("/")[2] for ref in refs)
