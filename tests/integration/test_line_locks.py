"""Standing in line locks items in the order of their ids, also where it becomes an acquire that tells more."""

import re

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from sessions_app.models import Workstation
from tests.factories import (
    acquire,
    connect,
    events,
    make_item,
    make_user,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.django_db


def items_locked(queries):
    """The ids of the items that these queries lock, each where it is locked first."""
    locking = re.compile(r'FROM "sessions_app_item".*FOR NO KEY UPDATE')
    found = [
        pk
        for query in queries
        if locking.search(query["sql"])
        for pk in sorted(re.findall(r"'([0-9a-f]{32})'", query["sql"]))
    ]
    return list(dict.fromkeys(found))


def test_an_idle_workstation_granted_at_once_locks_items_in_order():
    workstation = make_workstation(make_user())
    connect(workstation)
    first, second = sorted((make_item("A"), make_item("B")), key=lambda item: item.pk)
    acquire(workstation, first)
    Workstation.objects.update(idle_since=Now())
    with CaptureQueriesContext(connection) as queries:
        stand(workstation, second)
    assert [kind for kind, _, _ in events()[1:]] == ["edit.session_active", "edit.session_acquired"]
    assert items_locked(queries) == [first.pk.hex, second.pk.hex]
