"""Standing in line locks items in the order of their ids, also where it becomes an acquire that tells more."""

import re

import pytest
from django.db import connection
from django.db.models.functions import Now

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


LOCKING = re.compile(r'FROM "sessions_app_item".*FOR NO KEY UPDATE')


class ItemsLocked:
    """The ids of the items that each statement locks, in the order of its rows."""

    def __init__(self):
        self.ids = []

    def __call__(self, execute, sql, params, many, context):
        if LOCKING.search(sql) and not many:
            execute(sql, params, many, context)
            self.ids.append([row[0] for row in context["cursor"].fetchall()])
        return execute(sql, params, many, context)


def test_an_idle_workstation_granted_at_once_locks_items_in_order():
    workstation = make_workstation(make_user())
    connect(workstation)
    first, second = sorted((make_item("A"), make_item("B")), key=lambda item: item.pk)
    acquire(workstation, first)
    Workstation.objects.update(idle_since=Now())
    locked = ItemsLocked()
    with connection.execute_wrapper(locked):
        stand(workstation, second)
    assert [kind for kind, _, _ in events()[1:]] == ["edit.session_active", "edit.session_acquired"]
    assert locked.ids == [[first.pk, second.pk]]
