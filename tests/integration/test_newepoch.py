"""`manage.py newepoch`: after a restore or a failover that lost commits."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from events_app.database import sql
from events_app.log import event_log
from sessions_app import operations
from sessions_app.errors import StaleToken
from sessions_app.models import EditSession, EndedSession
from sessions_app.operations.epoch import MAX_TOKEN, TOKEN_LEAP, TOKEN_SEQUENCE
from tests.factories import acquire, let_go, make_user, make_workstation

pytestmark = pytest.mark.django_db


@pytest.fixture
def workstation():
    return make_workstation(make_user())


def newepoch(*arguments):
    out = StringIO()
    call_command("newepoch", *arguments, stdout=out)
    return out.getvalue()


def verify(session):
    return operations.handoff.verify(session.item.part_number, session.pk, session.fencing_token)


def test_a_later_acquire_has_a_token_above_any_that_was_issued(workstation, item):
    ended = acquire(workstation, item, "A").session
    let_go(ended.pk)
    newepoch()
    assert acquire(workstation, item, "A").session.fencing_token > ended.fencing_token + TOKEN_LEAP


def test_tokens_of_a_lost_commit_are_passed_too(workstation, item):
    lost = acquire(workstation, item, "A").session.fencing_token + TOKEN_LEAP - 1
    newepoch()
    assert acquire(workstation, item, "B").session.fencing_token > lost


@pytest.mark.parametrize("where", ["record", "active"])
def test_a_token_beyond_the_sequence_is_passed(workstation, item, where):
    session = acquire(workstation, item).session
    beyond = session.fencing_token + 1_000_000
    EditSession.objects.update(fencing_token=beyond)
    if where == "record":
        let_go(session.pk)
        assert EndedSession.objects.get().fencing_token == beyond
    newepoch()
    assert acquire(workstation, item, "B").session.fencing_token > beyond + TOKEN_LEAP


def test_a_token_that_a_vault_has_seen_is_passed(workstation, item):
    seen = sql.last_of_sequence(TOKEN_SEQUENCE) + 7 * TOKEN_LEAP
    newepoch("--above", str(seen))
    assert acquire(workstation, item).session.fencing_token > seen + TOKEN_LEAP


def test_active_sessions_live_on_with_new_tokens(workstation, item):
    old = [acquire(workstation, item, name).session for name in "AB"]
    answer = newepoch()
    assert "2 active sessions" in answer
    highest = max(session.fencing_token for session in old)
    assert EditSession.objects.filter(fencing_token__gt=highest + TOKEN_LEAP).count() == 2
    for session in old:
        with pytest.raises(StaleToken):
            verify(session)
        verify(EditSession.objects.select_related("item").get(pk=session.pk))


def test_no_cursor_of_before_can_be_continued(workstation, item):
    acquire(workstation, item)
    cursor = str(event_log.state().head)
    assert event_log.state().resume(cursor)
    newepoch()
    assert event_log.state().resume(cursor) is None
    assert event_log.state().resume(str(event_log.state().head))


@pytest.mark.parametrize("above", ["-1", "x", str(MAX_TOKEN), ""])
def test_a_malformed_token_is_refused(above):
    state = event_log.state()
    with pytest.raises(CommandError, match=f"'{above}' is no fencing token"):
        newepoch("--above", above)
    assert event_log.state() == state


def test_it_ends_where_tokens_would_not_be_exact_in_json(workstation, item):
    session = acquire(workstation, item).session
    EditSession.objects.update(fencing_token=MAX_TOKEN)
    let_go(session.pk)
    state, last = event_log.state(), sql.last_of_sequence(TOKEN_SEQUENCE)
    with pytest.raises(CommandError, match="exact"):
        newepoch()
    assert (event_log.state(), sql.last_of_sequence(TOKEN_SEQUENCE)) == (state, last)
