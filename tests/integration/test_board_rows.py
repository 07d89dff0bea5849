"""The rows of the board: what is said of each session, which are shown, and that no query grows with them."""

import re
import uuid
from datetime import UTC
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from board_app import rows
from board_app.filters import Filters
from events_app.models import Connection
from sessions_app.models import EditSession, Workstation
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    make_connected,
    make_item,
    make_user,
    make_workstation,
    wait_for,
)
from tests.integration.admin_site import client_of, make_sessions, silence, text_of
from tests.integration.test_security_headers import check_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def board():
    """The browser of a viewer."""
    return client_of(make_user("viewer", Role.VIEWER, first_name="Vi", last_name="Ewer"))


def shown(page):
    """The text of each row, by the session's id."""
    found = re.findall(r'<tr role="row" id="s([^"]*)"(.*?)</tr>', text_of(page), re.DOTALL)
    assert len(found) == text_of(page).count('id="s')
    return {uuid.UUID(pk): " ".join(re.sub(r"<[^>]*>", " ", row).split()) for pk, row in found}


def test_a_session_is_shown_with_its_holder_and_times(board):
    ada = make_connected("ada", first_name="Ada", last_name="Lovelace")
    held = acquire(ada, make_item(), "Sketch001").session
    EditSession.objects.update(note="until <noon>")
    page = board.get("/")
    check_page(page)
    text = shown(page)[held.pk]
    assert "A01-0001 sketch Sketch001 Ada Lovelace ada" in text
    assert escape("until <noon>") in text
    assert "ada&#x27;s" in text
    since = held.acquired_at.astimezone(UTC)
    assert f"{since:%Y-%m-%d %H:%M:%S} UTC" in text
    assert f'datetime="{since:%Y-%m-%dT%H:%M:%SZ}"' in text_of(page)
    assert "active" in text
    assert "nobody" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"away_since": Now()}, "away since"),
        ({"idle_since": Now()}, "idle since"),
        (None, "not connected"),
    ],
)
def test_a_session_whose_engineer_is_not_there_says_so(board, change, said):
    ada = make_connected("ada")
    held = acquire(ada, make_item()).session
    assert said not in shown(board.get("/"))[held.pk]
    if change:
        Workstation.objects.update(**change)
    else:
        Connection.objects.all().delete()
    text = shown(board.get("/"))[held.pk]
    assert said in text
    assert "active" not in text


def test_soft_interference_is_marked_on_both_sides_with_whom(board):
    item = make_item()
    ada, bob = make_connected("ada", first_name="Ada"), make_connected("bob", first_name="Bob")
    one = acquire(ada, item, "Sketch001", cone=("Pad001",)).session
    other = acquire(bob, item, "Sketch002", cone=("Pad001",)).session
    alone = acquire(ada, item, "Sketch003", cone=("Pad009",)).session
    texts = shown(board.get("/"))
    assert "soft interference with Bob on bob&#x27;s (sketch Sketch002)" in texts[one.pk]
    assert "soft interference with Ada on ada&#x27;s (sketch Sketch001)" in texts[other.pk]
    assert "interference" not in texts[alone.pk]


def test_the_line_is_shown_with_its_first_places(board):
    held = acquire(make_connected("ada"), make_item()).session
    waiting = [make_connected(f"w{number}") for number in range(rows.MAX_SHOWN + 2)]
    for workstation in waiting:
        wait_for(workstation, held)
    text = shown(board.get("/"))[held.pk]
    shown_names = re.findall(r"w\d on", text)
    assert shown_names == [f"w{number} on" for number in range(rows.MAX_SHOWN)]
    assert "and 2 more" in text


def test_filters_are_in_the_address(board):
    ada = make_connected("ada", first_name="Ada", last_name="Lovelace")
    bob = make_connected("bob")
    one = acquire(ada, make_item("A01-0001")).session
    other = acquire(bob, make_item("B02-0002")).session
    silence(other, minutes=6)
    wait_for(make_connected("carol"), one)
    for query, expected in {
        "": {one.pk, other.pk},
        "mine=1": set(),
        "user=ada": {one.pk},
        "user=ADA": {one.pk},
        "user=nobody": set(),
        "item=a01-0001": {one.pk},
        "item=nothing": set(),
        f"workstation={ada.pk}": {one.pk},
        "workstation=BOB%27s": {other.pk},
        "workstation=ada": set(),
        "silent=5": {other.pk},
        "silent=15": set(),
        "waited=1": {one.pk},
        "q=a01": {one.pk},
        "q=lovelace+ada": {one.pk},
        "q=lovelace+b02": set(),
        "q=BOB%27s": {other.pk},
        "user=bob&silent=1&q=b02": {other.pk},
    }.items():
        page = board.get(f"/?{query}")
        assert set(shown(page)) == expected, query
        assert set(shown(board.get(f"/board/rows?{query}"))) == expected, query
    assert set(shown(client_of(bob.user).get("/?mine=1"))) == {other.pk}
    page = text_of(board.get("/?q=%3Cb%3E&silent=5&mine=1"))
    assert 'value="&lt;b&gt;"' in page
    assert '<option value="5" selected>' in page
    assert 'name="mine" value="1" checked' in page


@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "item=%00",
        "silent=-1",
        "silent=x",
        "before=-1",
        "before=x",
        "before=" + "9" * 40,
        "user=" + "x" * 500,
        "mine=yes",
        "nothing=1",
    ],
)
def test_what_is_no_choice_is_none(board, query):
    make_sessions(1)
    assert board.get(f"/?{query}").status_code == 200


def test_choices_are_kept_from_page_to_page():
    query = QueryDict("q=a+b&mine=1&user=ada&item=A%2F1&workstation=cad&silent=5&waited=1&before=7")
    filters = Filters.of(query)
    assert parse_qs(urlsplit(filters.query_before(7)).query) == dict(query.lists())
    assert Filters.of(QueryDict(filters.query[1:])) == Filters.of(
        QueryDict(query.urlencode().replace("&before=7", ""))
    )


def test_pages_lead_from_the_latest_to_the_first(board, monkeypatch):
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 2)
    sessions = make_sessions(5)
    seen, address = [], "/"
    while address:
        page = board.get(address)
        seen += shown(page)
        assert 'id="count">5<' in text_of(page)
        link = re.search(r'id="next" href="([^"]*)"( hidden)?', text_of(page))
        address = None if link[2] else link[1].replace("&amp;", "&")
    assert seen == [one.pk for one in reversed(sessions)]


def test_changed_rows_are_those_of_some_items_within_the_page(board):
    first, second, third = make_sessions(3)
    ask = f"/board/rows?items={first.item_id},{third.item_id}"
    assert list(shown(board.get(ask))) == [third.pk, first.pk]
    assert list(shown(board.get(f"{ask}&lowest={second.fencing_token}"))) == [third.pk]
    assert list(shown(board.get(f"{ask}&before={third.fencing_token}"))) == [first.pk]
    assert list(shown(board.get(f"{ask}&user={first.user.username}"))) == [first.pk]
    assert not shown(board.get(f"/board/rows?items={uuid.uuid4()}"))


@pytest.mark.parametrize(
    "query",
    [
        "items=",
        "items=x",
        "items=,",
        f"items={uuid.UUID(int=1)}&lowest=x",
        f"items={uuid.UUID(int=1)}&lowest={2**63}",
        "items=" + ",".join(str(uuid.UUID(int=number)) for number in range(101)),
    ],
)
def test_what_are_no_items_is_refused(board, query):
    answer = board.get(f"/board/rows?{query}")
    assert answer.status_code == 422
    check_page(answer)


def test_no_query_grows_with_the_rows(board):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert board.get("/").status_code == 200
        return len(found)

    item = make_item("shared")
    for number in range(2):
        acquire(make_workstation(make_user(f"s{number}"), "cad"), item, f"S{number}", cone=("P",))
    few = queries()
    for number in range(2, 20):
        acquire(make_workstation(make_user(f"s{number}"), "cad"), item, f"S{number}", cone=("P",))
    make_sessions(10)
    assert EditSession.objects.count() == 30
    assert queries() == few
