"""What the model of `tests/slow` has found."""

import pytest

from sessions_app.models import Workstation
from tests.factories import api_of, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db


def test_who_acquires_is_answered_as_active() -> None:
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
