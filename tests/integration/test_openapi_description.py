"""What the description of the API says, and that it is true of what no generated call reaches."""

import json
import re
import uuid
from datetime import timedelta

import jsonschema_rs
import pytest
import schemathesis
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client

from events_app import timings
from events_app.database.round_trip import Query
from events_app.presence.backend import StreamRefused, StreamRequest
from sessions_app import operations
from sessions_app.errors import DomainError
from sessions_app.models.results import Wanted
from sessions_app.payloads.events import EVENTS
from sessions_app.presence_backend import WorkstationPresence
from tests.factories import (
    Api,
    acquire,
    api_of,
    connect,
    events,
    let_go,
    make_item,
    make_token,
    make_user,
    make_workstation,
)
from tests.integration.described_world import closed

ANYTHING = Query("SELECT 1", [])
DESCRIPTION = Client(SERVER_NAME="localhost").get("/api/openapi.json").json()
OPERATIONS = {
    (method, path): operation
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
}
OF_THE_API = {key: value for key, value in OPERATIONS.items() if key[1].startswith("/api/")}
STREAMS = {key: value for key, value in OF_THE_API.items() if key[1].endswith("/events")}

every_operation = pytest.mark.parametrize(
    "operation", OF_THE_API.values(), ids=map(str, OF_THE_API)
)


def check_valid(value, schema):
    """Check a value by a schema of the description, which may point into it; it has no undescribed members."""
    root = {**closed({"components": DESCRIPTION["components"]}), "allOf": [schema]}
    jsonschema_rs.validator_for(root, validate_formats=True).validate(value)


def codes(operation, status):
    """Return the error codes that an operation describes for a status."""
    content = operation["responses"].get(str(status), {}).get("content", {})
    return set(content.get("application/json", {}).get("examples", {}))


def with_schemas(description):
    """Yield everything in a description that has a schema and may have examples of it."""
    if isinstance(description, dict):
        if "schema" in description:
            yield description
        description = list(description.values())
    if isinstance(description, list):
        for part in description:
            yield from with_schemas(part)


def test_it_is_an_openapi_document():
    schemathesis.openapi.from_dict(DESCRIPTION).validate()


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


@every_operation
def test_every_operation_describes_what_any_can_answer(operation):
    assert codes(operation, 400) == {"invalid_request"}
    assert codes(operation, 401) == {"not_authenticated"}
    assert codes(operation, 403) == {"forbidden"}
    assert codes(operation, 413) == {"body_too_large"}
    assert codes(operation, 414) == {"uri_too_long"}
    assert codes(operation, 431) == {"header_too_large"}
    assert codes(operation, 500) == {"internal_error"}
    assert codes(operation, 503) == {"unavailable"}
    assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]
    assert "Retry-After" in operation["responses"]["503"]["headers"]


@every_operation
def test_every_operation_describes_what_becomes_of_its_input(operation):
    expected = {"invalid"} if operation["parameters"] else set()
    if "requestBody" in operation:
        expected = {"invalid", "invalid_json"}
    limits = {code for code in codes(operation, 422) if code.startswith("too_many_")}
    assert codes(operation, 422) - limits == expected
    in_path = any(parameter["in"] == "path" for parameter in operation["parameters"])
    assert codes(operation, 404) >= ({"not_found"} if in_path else set())


@every_operation
def test_every_operation_says_what_it_is_for_and_for_whom(operation):
    assert re.match(r"[A-Z]", operation["summary"])
    assert re.search(r"Role: (none|viewer|editor|admin)\.$", operation["description"])
    assert operation["tags"]
    assert operation["security"] == [{"BearerAuth": []}, {"LoginAuth": []}]


def test_the_credentials_are_described():
    schemes = DESCRIPTION["components"]["securitySchemes"]
    assert (schemes["BearerAuth"]["type"], schemes["BearerAuth"]["scheme"]) == ("http", "bearer")
    assert (schemes["LoginAuth"]["type"], schemes["LoginAuth"]["in"]) == ("apiKey", "cookie")
    assert "X-CSRFToken" in schemes["LoginAuth"]["description"]


@pytest.mark.parametrize("error", DomainError.__subclasses__())
def test_every_error_of_the_domain_is_described_somewhere(error):
    assert error.__doc__
    assert any(error.code in codes(operation, error.status) for operation in OF_THE_API.values())


def test_every_example_is_one():
    examples = 0
    for described in with_schemas(DESCRIPTION):
        shown = [example["value"] for example in described.get("examples", {}).values()]
        shown += [described["example"]] if "example" in described else []
        for example in shown:
            check_valid(example, described["schema"])
            examples += 1
    for name, schema in DESCRIPTION["components"]["schemas"].items():
        for example in schema.get("examples", []):
            check_valid(example, {"$ref": f"#/components/schemas/{name}"})
            examples += 1
    assert examples > 50


def test_every_body_and_every_answer_in_json_has_an_example():
    shown = {
        name
        for name, schema in DESCRIPTION["components"]["schemas"].items()
        if schema.get("examples")
    }
    for operation in OF_THE_API.values():
        for described in with_schemas([operation.get("requestBody"), operation["responses"]]):
            names = set(re.findall(r"#/components/schemas/(\w+)", str(described["schema"])))
            assert names <= shown


def test_history_is_described_as_csv_too():
    content = OPERATIONS["get", "/api/edit-sessions/history"]["responses"]["200"]["content"]
    assert content.keys() == {"application/json", "text/csv"}


@pytest.mark.parametrize("name", ["part_number", "session_id", "workstation_id"])
def test_path_parameters_are_described(name):
    for operation in OF_THE_API.values():
        for parameter in operation["parameters"]:
            if parameter["in"] == "path" and parameter["name"] == name:
                assert parameter["description"]
                assert parameter["example"]


# -- event streams --


@pytest.mark.parametrize("operation", STREAMS.values(), ids=map(str, STREAMS))
def test_streams_are_described(operation):
    names = {parameter["name"] for parameter in operation["parameters"]}
    if body := operation.get("requestBody"):
        reference = body["content"]["application/json"]["schema"]["$ref"]
        names |= DESCRIPTION["components"]["schemas"][reference.rsplit("/", 1)[1]][
            "properties"
        ].keys()
    assert names >= {"workstation_id", "all", "ack", "last_event_id", "Last-Event-ID"}
    content = operation["responses"]["200"]["content"]
    assert content.keys() == {"text/event-stream"}
    assert content["text/event-stream"]["x-events"].keys() == EVENTS.keys()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 422),
        ({"workstation_id": "3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a"}, 404),
        ({"item": "nothing"}, 404),
    ],
)
def test_refusals_of_streams_are_described(rf, query, status):
    bearer = f"Bearer {make_token(make_user())}"
    request = rf.get("/api/events", query, headers={"Authorization": bearer})
    (refused,) = WorkstationPresence().resolve([StreamRequest(lambda: request, {})])
    assert isinstance(refused, StreamRefused)
    assert refused.status == status
    assert refused.code in codes(OPERATIONS["get", "/api/events"], status)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/events?all=true", "/api/items/A01-0001/events"])
def test_django_alone_serves_no_stream(path):
    answer = api_of(make_user())("GET", path)
    assert (answer.status_code, answer.json()["error"]) == (501, "streams_not_served")
    assert Api()("GET", path).status_code == 401


@pytest.mark.django_db
def test_events_are_as_described(settings):
    settings.EVENTS_DISCONNECT_GRACE = timedelta(minutes=1)
    presence = WorkstationPresence()
    ada, bob, item = make_workstation(make_user()), make_workstation(make_user("bob")), make_item()
    forced, released = acquire(ada, item).session, acquire(ada, item, "Other").session
    acquire(bob, item, "Third")
    connect(bob)
    operations.line.stand(bob.user, bob.pk, Wanted(item.part_number, "sketch", "Other"))
    operations.handoff.request(bob.user, released.pk, "Please.")
    operations.alive.alive(ada.user, ada.pk, idle_seconds=3600)
    operations.alive.alive(ada.user, ada.pk, idle_seconds=0)
    presence.departed([ada.pk], [ada.pk], uuid.uuid4())
    held = json.loads(
        json.dumps(presence.snapshot([ada.pk], ANYTHING)[0][ada.pk], cls=DjangoJSONEncoder)
    )
    presence.arrived([ada.pk], [ada.pk], ANYTHING)
    operations.release.force_release(forced.pk, by="root", note="He left.")
    let_go(released.pk)
    happened = [(name, data) for name, _, data in events()]
    assert {name for name, _ in happened} == {name for name in EVENTS if name.startswith("edit.")}
    told = timings.configured().as_payload()
    opened = {"connection_id": None, **held, "timings": told}
    for name, data in [*happened, ("stream-open", opened), ("heartbeat", {}), ("stream-reset", {})]:
        check_valid(data, {"$ref": f"#/components/schemas/{EVENTS[name].__name__}"})


# -- what is beside the API --


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_is_as_described(path):
    answer = Client().get(path)
    described = OPERATIONS["get", path]["responses"][str(answer.status_code)]
    check_valid(answer.json(), described["content"]["application/json"]["schema"])


def test_the_page_is_served_with_all_that_it_needs():
    page = Client().get("/api/docs").content.decode()
    assert "//" not in re.sub(r"<!--.*?-->", "", page)
    needed = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(needed) > 3
    for address in needed:
        answer = Client().get(address)
        assert (answer.status_code, bool(answer.getvalue())) == (200, True)
    assert '"/api/openapi.json"' in page
    # So that who is logged in can try out what writes.
    assert 'data-api-csrf="true"' in page
