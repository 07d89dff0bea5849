"""Each operation reads bodies up to a limit of its own: its largest valid body fits, and not much more."""

import re

import pytest
from django.conf import settings

from events_app.http.body import LEAST_LIMIT, limit_of
from silo.api import api

MEGABYTE = 1024 * 1024
# Each character as two escapes, which is how JSON writes those beyond the first 65,536.
ESCAPED = len(r"\ud83d\ude00")
SEPARATORS = len(', ": "')
NUMBER = 32


def described():
    """Name, method, an address and the largest valid body in bytes, of each operation in the description."""
    document = api.get_openapi_schema()
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            largest = size(body["schema"], schemas) if body else 0
            name = operation.get("operationId", path)
            yield (
                name,
                method.upper(),
                re.sub(r"\{\w+\}", "1", path.replace("{part_number}", "A/1")),
                largest,
            )


def size(schema, schemas):
    """Return how many bytes the largest valid value has, all of its texts as escapes. Fails where there is none."""
    if ref := schema.get("$ref"):
        return size(schemas[ref.rpartition("/")[2]], schemas)
    if options := schema.get("anyOf") or schema.get("allOf"):
        return max(size(option, schemas) for option in options)
    if values := schema.get("enum"):
        return max(len(str(value)) for value in values) + 2
    match schema["type"]:
        case "string" if schema.get("format") == "uuid":
            return 36 + 2
        case "string":
            return schema["maxLength"] * ESCAPED + 2
        case "array":
            return schema["maxItems"] * (size(schema["items"], schemas) + SEPARATORS)
        case "object":
            members = schema["properties"].items()
            return sum(len(name) + size(value, schemas) + SEPARATORS for name, value in members)
        case "null" | "boolean":
            return 5
        case "number" | "integer":
            return NUMBER
    raise AssertionError(schema)


def test_the_largest_valid_body_fits():
    for name, method, path, largest in described():
        limit = limit_of(method.encode(), path.encode() + b"?x=" + b"y" * 100)
        assert min(largest, settings.DATA_UPLOAD_MAX_MEMORY_SIZE) <= limit, name


def test_most_operations_read_much_less_than_the_largest():
    limits = {
        name: limit_of(method.encode(), path.encode()) for name, method, path, _ in described()
    }
    lists = {
        name for name, limit in limits.items() if limit == settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    }
    assert lists == {"acquire", "acquire_batch", "stand_in_line", "events_of_many", "in_use"}
    assert max(limit for name, limit in limits.items() if name not in lists) <= 64 * 1024
    assert limits["alive"] == 4 * 1024


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        (b"POST", b"/api/items/DIN%20912%2FM5/edit-sessions", 8 * MEGABYTE),
        (b"POST", b"/api/items/a/b/edit-session-requests", 8 * MEGABYTE),
        (b"GET", b"/api/items/a/edit-sessions", 4096),
        (b"POST", b"/api/events?all=true", 8 * MEGABYTE),
        (b"POST", b"/api/events/", 64 * 1024),
        (b"POST", b"/api/workstations/0/alive", 4096),
        (b"POST", b"/admin/sessions_app/item/add/", MEGABYTE),
        (b"POST", b"/nothing", 64 * 1024),
        (b"BREW", b"/%ff", 64 * 1024),
    ],
)
def test_the_address_decides_as_it_is_written(method, path, limit):
    assert limit_of(method, path) == limit


def test_no_limit_is_smaller_than_the_least():
    assert (
        min(limit_of(b"GET", b"/"), limit_of(b"POST", b"/api/workstations/1/alive")) == LEAST_LIMIT
    )
    for _, method, path, _ in described():
        assert limit_of(method.encode(), path.encode()) >= LEAST_LIMIT
