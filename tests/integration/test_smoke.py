import pytest

from sessions_app.models import EditSession
from tests.factories import acquire, api_of, make_item, make_user, make_workstation


@pytest.mark.django_db
def test_acquire_and_release():
    ada = make_user()
    workstation, item = make_workstation(ada), make_item()
    session = acquire(workstation, item).session
    assert EditSession.objects.get().pk == session.pk
    answer = api_of(ada)("DELETE", f"/api/items/{item.part_number}/edit-sessions/{session.pk}")
    assert answer.status_code == 204
    assert not EditSession.objects.exists()
