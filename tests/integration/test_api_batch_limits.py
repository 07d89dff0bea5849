"""`POST /api/edit-sessions/batch`: how much it takes."""

import pytest

from sessions_app import operations
from sessions_app.models import EditSession, Item
from tests.factories import api_of, counts, events, make_user, make_workstation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("all_ways")]

SESSIONS = 1_000
NODE_KEYS = 100_000
CONE = 10_000


@pytest.fixture
def ask():
    ada = make_workstation(make_user("ada"))
    api = api_of(ada.user)

    def ask(sessions, **more):
        body = {"workstation_id": ada.pk, "sessions": sessions} | more
        return api("POST", "/api/edit-sessions/batch", body)

    return ask


def make_items(count):
    items = (Item(part_number=f"P{number:04}") for number in range(count))
    return Item.objects.bulk_create(items)


def wanted(items, keys=0):
    return [
        {
            "part_number": item.part_number,
            "context_level": "assembly",
            "dependency_cone": [f"n{number}" for number in range(keys)],
        }
        for item in items
    ]


def check_invalid(request):
    before = counts()
    answer = request()
    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid"
    assert counts() == before


def test_a_thousand_sessions_are_given(ask):
    items = make_items(SESSIONS)
    answer = ask(wanted(items))
    assert answer.status_code == 200
    parts = [session["part_number"] for session in answer.json()["sessions"]]
    assert parts == [item.part_number for item in items]
    assert EditSession.objects.count() == len(events()) == SESSIONS


def test_a_thousand_objects_of_one_item_are_given(ask):
    [item] = make_items(1)
    sessions = [one | {"object_id": str(n)} for n in range(SESSIONS) for one in wanted([item])]
    answer = ask(sessions)
    assert answer.status_code == 200
    assert [s["object_id"] for s in answer.json()["sessions"]] == [str(n) for n in range(SESSIONS)]


def test_one_more_is_refused(ask):
    items = make_items(SESSIONS + 1)
    check_invalid(lambda: ask(wanted(items)))


def test_none_at_all_is_refused(ask):
    check_invalid(lambda: ask([]))


def test_a_hundred_thousand_node_keys_are_taken(ask):
    answer = ask(wanted(make_items(NODE_KEYS // CONE), CONE))
    assert answer.status_code == 200
    cones = EditSession.objects.values_list("dependency_cone", flat=True)
    assert [len(cone) for cone in cones] == [CONE] * (NODE_KEYS // CONE)


def test_one_node_key_more_is_refused(ask):
    full = make_items(NODE_KEYS // CONE + 1)
    sessions = wanted(full, CONE)
    sessions[-1]["dependency_cone"] = ["one more"]
    check_invalid(lambda: ask(sessions))


def test_one_cone_takes_ten_thousand_and_no_more(ask):
    [item] = make_items(1)
    check_invalid(lambda: ask(wanted([item], CONE + 1)))
    assert ask(wanted([item], CONE)).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"part_number": None},
        {"part_number": ""},
        {"part_number": "P0000\n"},
        {"context_level": "feature"},
        {"object_id": 7},
        {"object_id": "x" * 501},
        {"dependency_cone": "n1"},
        {"dependency_cone": [""]},
        {"dependency_cone": None},
        {"workstation_id": "cad-1"},
        {"sessions": []},
    ],
)
def test_one_bad_member_refuses_all(ask, wrong):
    first, second = wanted(make_items(2))
    check_invalid(lambda: ask([first, second | wrong]))


@pytest.mark.parametrize("wrong", [{"sessions": None}, {"sessions": {}}, {"part_number": "P0000"}])
def test_a_body_of_another_form_is_refused(ask, wrong):
    body = {"sessions": wanted(make_items(1))} | wrong
    check_invalid(lambda: ask(**body))


def test_existing_sessions_are_answered_with_limited_node_keys(ask, monkeypatch):
    monkeypatch.setattr(operations.acquire, "ANSWERED_NODE_KEYS", 25)
    items = make_items(6)
    # Another's session on the last one's item, so that cones are compared.
    bob = make_workstation(make_user("bob"))
    EditSession.objects.create(
        item=items[-1],
        workstation=bob,
        user=bob.user,
        context_level="sketch",
        dependency_cone=["n1"],
    )
    assert ask(wanted(items, 10)).status_code == 200

    answer = ask([*wanted(items[:5]), *wanted(items[5:])])

    assert answer.status_code == 200
    shown = [session["dependency_cone"] for session in answer.json()["sessions"]]
    assert [cone and len(cone) for cone in shown] == [
        10,
        10,
        None,
        None,
        None,
        10,
    ]  # that one was compared
    assert answer.json()["sessions"][-1]["interference"] == "soft"
    assert all(
        len(session.dependency_cone) == 10
        for session in EditSession.objects.filter(user__username="ada")
    )

    answer = ask([*wanted(items[:5]), *wanted(items[5:], 3)])

    shown = [session["dependency_cone"] for session in answer.json()["sessions"]]
    assert [cone and len(cone) for cone in shown] == [10, 10, None, None, None, 3]
