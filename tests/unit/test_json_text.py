"""Events are written as Django writes JSON."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.serializers.json import DjangoJSONEncoder

from events_app.json_text import json_text
from sessions_app.models import EndReason
from tests.unit.test_payloads import ANSWERS, BUILT_EVENTS

DJANGOS = DjangoJSONEncoder(separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    "value",
    [
        *(payload for _, payload in ANSWERS),
        *(event.data for event in BUILT_EVENTS),
        {"at": datetime(2026, 1, 31, 12, 0, 0, 123999, tzinfo=UTC)},
        {"at": datetime(2026, 1, 31, 12, 0, 0, 999999, tzinfo=timezone(timedelta(hours=2)))},
        {"within": [{"at": datetime(2026, 1, 31, 0, 0, 0, 1500, tzinfo=UTC)}], "id": uuid.uuid4()},
        {"text": 'ä"\\/\n\x01\u2028😀', "no": None, "is": True, "reason": EndReason.IDLE},
        {"numbers": [0, -1, 2**63 - 1, 13.75, 30.0], "none": []},
    ],
)
def test_as_django_writes_it(value):
    assert json_text(value) == DJANGOS.encode(value)
