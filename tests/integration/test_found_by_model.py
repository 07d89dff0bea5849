"""What the model of `tests/slow` has found."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from sessions_app.models import EditSession, EndedSession, Workstation
from tests.factories import acquire, api_of, events, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db


def test_an_acquire_answers_as_active() -> None:
    """An acquire ends idleness, so the answer does not show the idleness of before."""
    ada = make_user("ada")
    workstation = make_workstation(ada)
    api = api_of(ada)
    item = make_item()
    api("POST", f"/api/workstations/{workstation.pk}/alive", {"idle_seconds": 60})
    assert Workstation.objects.get().idle_since is not None
    body = {"workstation_id": workstation.pk, "context_level": "sketch"}
    answer = api("POST", f"/api/items/{item.part_number}/edit-sessions", body)
    assert answer.json()["idle_since"] is None


def test_a_session_that_ends_too_is_not_notified() -> None:
    """Two that met end at once, and one of the workstations has another session left on the item."""
    item = make_item()
    ada, bob = make_workstation(make_user("ada")), make_workstation(make_user("bob"))
    acquire(ada, item, "head", cone=("n1",))
    acquire(bob, item, "shaft", cone=("n1",))
    EditSession.objects.update(last_heartbeat=Now() - timedelta(hours=1))
    acquire(bob, item, "tip", cone=("n2",))
    EditSession.objects.expire_stale(timedelta(minutes=1))
    assert EndedSession.objects.count() == 2
    assert "edit.interference_resolved" not in [kind for kind, _, _ in events()]
