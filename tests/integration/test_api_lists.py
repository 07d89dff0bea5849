"""Which sessions are active: on an item, one's own, everybody's; filters, pages, the cursor."""

import re
from urllib.parse import quote

import pytest

from events_app.log import event_log
from sessions_app.interference import cones, lists
from sessions_app.models import EditSession, PlaceInLine, Workstation
from sessions_app.roles import Role
from tests.factories import (
    A_SENTENCE,
    A_TIME,
    acquire,
    api_of,
    connect,
    identity_of,
    let_go,
    make_item,
    make_user,
    make_workstation,
    met_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop():
    """Two users with two workstations each, which hold six sessions on two items."""
    items = [make_item("A01-0001"), make_item("DIN 912/M5")]
    stations = [
        make_workstation(user, name)
        for user in (make_user("ada"), make_user("bob"))
        for name in ("office", "home")
    ]
    for number, (station, item) in enumerate([(0, 0), (1, 0), (2, 0), (3, 1), (0, 1), (2, 1)]):
        acquire(stations[station], items[item], f"S{number}", cone=("n1",))
    make_user("carol", Role.VIEWER)
    return items, stations


@pytest.fixture
def ask(shop):
    """The list as ada sees it."""
    api = api_of(shop[1][0].user)

    def ask(path):
        answer = api("GET", path)
        assert answer.status_code == 200
        return answer.json()

    return ask


def of(object_id):
    return EditSession.objects.select_related("item", "user", "workstation").get(
        object_id=object_id
    )


def objects(answer):
    return [session["object_id"] for session in answer["sessions"]]


def check_shape(shown, session, *meets, connected=False):
    assert shown == identity_of(session) | {
        "id": str(session.pk),
        "note": "",
        "connection_id": None,
        "acquired_at": A_TIME,
        "last_heartbeat": A_TIME,
        "away_since": None,
        "idle_since": None,
        "connected": connected,
        "interference": "soft",
        "interferes_with": [
            met_of(other) for other in sorted(map(of, meets), key=lambda other: other.pk)
        ],
    }


def test_an_items_sessions_are_everybodys_in_order(ask):
    answer = ask("/api/items/A01-0001/edit-sessions")
    assert answer.keys() == {"sessions", "cursor", "next"}
    assert objects(answer) == ["S0", "S1", "S2"]
    check_shape(answer["sessions"][2], of("S2"), "S0", "S1")


def test_a_list_says_whose_workstation_has_a_stream(ask, shop):
    here = shop[1][0]
    connect(here)
    for path in ("/api/items/A01-0001/edit-sessions", "/api/edit-sessions?all=true"):
        listed = ask(path)["sessions"]
        connected = {one["workstation"]["id"] for one in listed if one["connected"]}
        assert connected == {str(here.pk)}
        assert len({one["workstation"]["id"] for one in listed}) > 1


def test_a_quiet_item_has_none(ask):
    make_item("quiet")
    assert ask("/api/items/quiet/edit-sessions")["sessions"] == []


def test_an_unknown_item_is_404(shop):
    answer = api_of(shop[1][0].user)("GET", "/api/items/nothing/edit-sessions")
    assert answer.status_code == 404
    assert answer.json() == {"error": "not_found", "message": A_SENTENCE}


@pytest.mark.parametrize("path", ["/api/items/A01-0001/edit-sessions", "/api/edit-sessions"])
def test_the_cursor_is_the_newest_event_of_that_moment(ask, shop, path):
    before = ask(path)["cursor"]
    assert re.fullmatch(r"[0-9a-f]+-[0-9]+", before)
    assert before == str(event_log.state().head)
    assert event_log.state().resume(before) is not None
    acquire(shop[1][3], shop[0][1], "later")
    after = ask(path)["cursor"]
    assert (after != before, after) == (True, str(event_log.state().head))


def test_ones_own_are_those_of_all_ones_workstations(ask):
    answer = ask("/api/edit-sessions")
    assert answer.keys() == {"sessions", "cursor", "next"}
    assert objects(answer) == ["S0", "S1", "S4"]
    assert answer["next"] is None
    check_shape(answer["sessions"][0], of("S0"), "S1", "S2")


def test_a_viewer_sees_everybodys(shop):
    carol = api_of(make_user("dave", Role.VIEWER))
    assert carol("GET", "/api/edit-sessions").json()["sessions"] == []
    assert len(carol("GET", "/api/edit-sessions?all=true").json()["sessions"]) == 6


def test_an_ended_session_is_in_no_list(ask):
    let_go(EditSession.objects.get(object_id="S0").pk)
    assert objects(ask("/api/edit-sessions")) == ["S1", "S4"]
    assert objects(ask("/api/items/A01-0001/edit-sessions")) == ["S1", "S2"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "S0 S1 S4"),
        ("all=false", "S0 S1 S4"),
        ("all=true", "S0 S1 S2 S3 S4 S5"),
        ("all=true&user=bob", "S2 S3 S5"),
        ("all=true&user=BOB", "S2 S3 S5"),
        ("all=true&user=nobody", ""),
        ("all=true&user=", ""),
        ("user=ada", "S0 S1 S4"),
        ("user=bob", ""),
        ("workstation={home}", "S1"),
        ("all=true&workstation={bobs}", "S2 S5"),
        ("workstation={bobs}", ""),
        ("workstation=3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a", ""),
        ("item=A01-0001", "S0 S1"),
        ("item=A01", ""),
        ("all=true&item=DIN%20912%2FM5", "S3 S4 S5"),
        ("all=true&item=DIN+912/M5", "S3 S4 S5"),
        ("all=true&item=nothing", ""),
        ("all=true&user=bob&item=DIN%20912%2FM5&workstation={bobs}", "S5"),
    ],
)
def test_filters(ask, shop, query, found):
    query = query.format(home=shop[1][1].pk, bobs=shop[1][2].pk)
    assert objects(ask(f"/api/edit-sessions?{query}")) == found.split()


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6, 7, 1000])
def test_pages_have_no_gaps_and_nothing_twice(ask, limit):
    found, after = [], 0
    for _ in range(10):
        answer = ask(f"/api/edit-sessions?all=true&limit={limit}&after={after}")
        assert 0 < len(answer["sessions"]) <= limit
        found += objects(answer)
        after = answer["next"]
        if after is None:
            break
        assert len(answer["sessions"]) == limit
        assert type(after) is int
    assert found == ["S0", "S1", "S2", "S3", "S4", "S5"]


def test_an_end_between_two_pages_loses_no_other(ask):
    first = ask("/api/edit-sessions?all=true&limit=3")
    let_go(EditSession.objects.get(object_id="S2").pk)
    rest = ask(f"/api/edit-sessions?all=true&after={first['next']}")
    assert objects(first) + objects(rest) == ["S0", "S1", "S2", "S3", "S4", "S5"]


def test_after_the_last_there_is_an_empty_page(ask):
    answer = ask(f"/api/edit-sessions?all=true&after={2**63 - 1}")
    assert (answer["sessions"], answer["next"]) == ([], None)


def test_a_list_is_a_fixed_number_of_statements(shop, django_assert_max_num_queries):
    api = api_of(shop[1][0].user)
    # Token and role, snapshot, sessions and cursor; who else is there, how large the cones are, the cones.
    for path in ("/api/edit-sessions?all=true", "/api/items/A01-0001/edit-sessions"):
        with django_assert_max_num_queries(12):
            api("GET", path)
    # And those that are met and not listed: found, and named.
    with django_assert_max_num_queries(14):
        api("GET", "/api/edit-sessions")
    EditSession.objects.exclude(object_id__in=["S0", "S3"]).delete()
    with django_assert_max_num_queries(10):
        api("GET", "/api/edit-sessions?all=true")


def pages(api, path, members, limit):
    """Read a list to its end, so many a page; return what each page has."""
    found, following = [], None
    while True:
        after = "" if following is None else f"&after={quote(str(following), safe='')}"
        answer = api("GET", f"{path}?limit={limit}{after}")
        assert answer.status_code == 200, answer.content
        page = answer.json()
        found.append(page[members])
        following = page["next"]
        if following is None:
            return found


def test_the_sessions_of_an_item_come_in_pages(ask, shop):
    api = api_of(shop[1][0].user)
    path = "/api/items/DIN%20912%2FM5/edit-sessions"
    whole = ask(path)
    assert (objects(whole), whole["next"]) == (["S3", "S4", "S5"], None)
    found = pages(api, path, "sessions", 2)
    assert [len(page) for page in found] == [2, 1]
    # Each session says whom it meets, also those that are on another page.
    assert [session for page in found for session in page] == whole["sessions"]
    assert api("GET", f"{path}?after=x").status_code == 422
    assert api("GET", f"{path}?limit=1001").status_code == 422


def test_ones_own_workstations_come_in_pages():
    ada = make_user("ada")
    # Some of one moment.
    Workstation.objects.bulk_create(
        Workstation(user=ada, name=f"w{n}", fingerprint=f"f{n}") for n in range(5)
    )
    make_workstation(ada, "last")
    make_workstation(make_user("bob"), "another's")
    api = api_of(ada)
    whole = api("GET", "/api/workstations").json()
    assert (len(whole["workstations"]), whole["next"]) == (6, None)
    found = pages(api, "/api/workstations", "workstations", 2)
    assert [len(page) for page in found] == [2, 2, 2]
    assert [one["id"] for page in found for one in page] == [
        one["id"] for one in whole["workstations"]
    ]
    assert found[-1][-1]["name"] == "last"
    assert api("GET", "/api/workstations?after=1.2").status_code == 422


def test_the_line_comes_in_pages_with_positions_in_the_whole_line():
    item = make_item("DIN 912/M5")
    stations = [make_workstation(make_user(f"u{n}")) for n in range(5)]
    for station in stations:
        for object_id in ("", "S.1/ü"):
            PlaceInLine.objects.create(
                item=item, workstation=station, context_level="sketch", object_id=object_id
            )
    api = api_of(stations[0].user)
    path = "/api/items/DIN%20912%2FM5/edit-session-requests"
    whole = api("GET", path).json()
    assert whole["next"] is None
    shown = [(one["object_id"], one["position"]) for one in whole["requests"]]
    assert shown == [(object_id, n) for object_id in ("", "S.1/ü") for n in range(1, 6)]
    for limit in (1, 3, 5):
        found = pages(api, path, "requests", limit)
        assert [one for page in found for one in page] == whole["requests"]
    assert api("GET", f"{path}?after=sketch.x.").status_code == 422


def by_id(answer):
    """Whom each session of a list meets, in any order."""
    return {
        one["id"]: sorted(met["session_id"] for met in one["interferes_with"])
        for one in answer.json()["sessions"]
    }


def test_a_page_of_a_crowded_item_reads_meetings_from_the_index(
    shop, monkeypatch, django_assert_max_num_queries
):
    items, stations = shop
    acquire(stations[1], items[0], "", cone=("n2",))
    api = api_of(stations[0].user)
    path = "/api/items/A01-0001/edit-sessions"
    compared = api("GET", path)
    assert any(by_id(compared).values())
    read = []
    company = cones.company
    monkeypatch.setattr(
        cones,
        "company",
        lambda *args, **more: read.append(1) or company(*args, **more),
    )
    monkeypatch.setattr(lists, "MAX_LISTED_COMPANY", 3)
    with django_assert_max_num_queries(14):
        by_index = api("GET", path)
    assert by_id(by_index) == by_id(compared)
    # What is not on the page was not read.
    assert not read
