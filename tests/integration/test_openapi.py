"""Schemathesis calls every operation as the description allows and as it forbids: it answers nothing else.

Each call is in a transaction of its own that is rolled back, so all of them find the same: what the examples speak of.
"""

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sessions_app.payloads import examples
from sessions_app.roles import Role
from tests.factories import make_token, make_user
from tests.integration.described_world import closed, make_described_world

pytestmark = pytest.mark.django_db

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# The description says what is valid, but not that a reason may be here or there, and that 2.0 is no token, and not that
# a batch names nothing twice.
NOT_ALL_THAT_IS_VALID = {"force_release", "verify", "acquire_batch"}
# What is put in where a call names something of its own invention.
EXISTING = {
    "part_number": examples.PART_NUMBER,
    "workstation_id": examples.WORKSTATION_ID,
    "session_id": examples.SESSION_ID,
    "request_id": examples.REQUEST_ID,
    "to_workstation_id": examples.OTHER_WORKSTATION_ID,
    "connection_id": examples.CONNECTION_ID,
    "object_id": examples.OTHER_OBJECT_ID,
}


def described(max_examples, *, coverage):
    """Return the operations, to be called with so many examples each, and with every limit of every value or not."""
    config = {
        "seed": 1,
        "generation": {
            "deterministic": True,
            "database": "none",
            "max-examples": max_examples,
        },
        "phases": {
            "coverage": {"enabled": coverage},
            # It would try what earlier answers named, and that was rolled back.
            "fuzzing": {
                "extra-data-sources": {"responses": False},
                "error-feedback": {"enabled": False},
            },
        },
    }
    description = schemathesis.openapi.from_wsgi(
        "/api/openapi.json",
        get_wsgi_application(),
        config=schemathesis.Config.from_dict(config),
    )
    closed(description.raw_schema)
    # Streams never end, and are not Django's; nothing is ready without a server's process.
    return description.exclude(path_regex="/(events|ready)$")


# The database is the test's for all of its calls, and each of them is rolled back. How fast a busy machine invents
# examples says nothing about the service.
one_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def one_connection():
    """As with Django's test client, the end of a request does not end the connection."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def admin():
    return bearer(make_described_world())


@pytest.fixture
def others(admin):
    return [{}, bearer(make_user("carol", Role.VIEWER)), bearer(make_user("dan", Role.EDITOR))]


def bearer(user):
    return {"Authorization": f"Bearer {make_token(user)}"}


@described(15, coverage=True).parametrize()
@one_database
def test_nothing_is_answered_but_what_is_described(case, admin):
    call(case, admin, negative_data_rejection, *accepted(case))
    if name_what_exists(case):
        call(case, admin)


@described(3, coverage=False).parametrize()
@one_database
def test_operations_answer_forbidden_callers_as_described(case, others):
    name_what_exists(case)
    for headers in others:
        call(case, headers)


def accepted(case):
    """Return the check that what is described as valid is not called invalid."""
    known = case.operation.definition.raw["operationId"] not in NOT_ALL_THAT_IS_VALID
    return [positive_data_acceptance] if known else []


def call(case, headers, *further_checks):
    with transaction.atomic():
        case.call_and_validate(headers=headers, checks=[*CHECKS, *further_checks])
        transaction.set_rollback(True)


def name_what_exists(case):
    """Put in what exists; say whether it was something else before."""
    changed = False
    for values in (case.path_parameters, case.query, case.body):
        if isinstance(values, dict):
            for name in EXISTING.keys() & values.keys():
                changed = changed or values[name] != EXISTING[name]
                values[name] = EXISTING[name]
    return changed
