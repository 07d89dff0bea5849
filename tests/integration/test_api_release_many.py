"""Releasing many at once: those of one's own that are there, in one transaction."""

import uuid

import pytest

from sessions_app import operations
from sessions_app.models import EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    api_of,
    connect,
    counts,
    events,
    let_go,
    make_item,
    make_user,
    make_workstation,
    stand,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("all_ways")]

URL = "/api/edit-sessions/release"


def release(user, *sessions, role=None):
    api = api_of(user, role) if role else api_of(user)
    return api("POST", URL, {"session_ids": [str(session.pk) for session in sessions]})


def test_the_named_sessions_end_and_the_others_stay(ada, item):
    first, second, third = (acquire(ada, item, name).session for name in ("A", "B", "C"))
    told = len(events())
    answer = release(ada.user, first, third)
    assert (answer.status_code, answer.json()) == (200, {"released": 2})
    assert EditSession.objects.get() == second
    ended = EndedSession.objects.order_by("object_id")
    assert [(one.session_id, one.reason) for one in ended] == [
        (first.pk, "released"),
        (third.pk, "released"),
    ]
    assert [kind for kind, *_ in events()[told:]] == ["edit.session_released"] * 2


def test_on_whichever_workstation_of_ones_own(ada, item):
    at_home = make_workstation(ada.user, "at home")
    both = acquire(ada, item, "A").session, acquire(at_home, item, "B").session
    assert release(ada.user, *both).json() == {"released": 2}


def test_ended_foreign_and_unknown_sessions_are_ignored(ada, bob, item):
    gone, mine = acquire(ada, item, "A").session, acquire(ada, item, "B").session
    let_go(gone.pk)
    his = acquire(bob, item, "C").session
    answer = release(ada.user, gone, his, EditSession(id=uuid.uuid4()), mine, mine)
    assert answer.json() == {"released": 1}
    assert EditSession.objects.get() == his
    before = counts()
    assert release(ada.user, gone, his).json() == {"released": 0}
    assert counts() == before


def test_a_release_grants_the_next_in_line(ada, bob, item):
    held = acquire(ada, item).session
    connect(bob)
    stand(bob, item)
    release(ada.user, held)
    assert EditSession.objects.get().workstation == bob


def test_an_admin_releases_nobody_elses_by_this(ada, item):
    held = acquire(ada, item).session
    assert release(make_user("root", Role.ADMIN), held).json() == {"released": 0}
    assert EditSession.objects.get() == held


def test_a_viewer_may_not(ada, item):
    held = acquire(ada, item).session
    before = counts()
    assert release(ada.user, held, role=Role.VIEWER).status_code == 403
    assert counts() == before


@pytest.mark.parametrize("ids", [[], ["nonsense"], [str(uuid.uuid4())] * 1001, None])
def test_malformed_requests_are_refused(ada, ids):
    answer = api_of(ada.user)("POST", URL, {"session_ids": ids})
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid")


def test_the_number_of_statements_does_not_grow(ada, django_assert_max_num_queries):
    few = [acquire(ada, make_item(f"B-{n}")).session.pk for n in range(2)]
    many = [acquire(ada, make_item(f"C-{n}")).session.pk for n in range(40)]
    with django_assert_max_num_queries(40) as captured:
        operations.release.release_many(ada.user, few)
    with django_assert_max_num_queries(len(captured)):
        operations.release.release_many(ada.user, many)
