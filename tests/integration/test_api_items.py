"""`/api/items`."""

import pytest

from sessions_app.models import Item
from tests.factories import A_SENTENCE, A_TIME, A_UUID, api_of, make_item, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    return api_of(make_user())


def test_an_item_is_added_and_listed(api):
    body = {"part_number": "DIN 912/M5", "description": "Screw", "item_type": "part"}
    answer = api("POST", "/api/items", body)
    assert answer.status_code == 201
    rest = {"id": A_UUID, "created_at": A_TIME, "retired_at": None}
    assert answer.json() == body | rest
    assert api("GET", "/api/items").json() == {"items": [answer.json()], "next": None}


def test_only_the_part_number_is_needed(api):
    answer = api("POST", "/api/items", {"part_number": "A"}).json()
    assert (answer["description"], answer["item_type"]) == ("", "")


def test_a_part_number_exists_once(api):
    first = api("POST", "/api/items", {"part_number": "A", "description": "first"}).json()
    answer = api("POST", "/api/items", {"part_number": "A", "description": "second"})
    assert answer.status_code == 409
    assert answer.json() == {"error": "already_exists", "message": A_SENTENCE}
    assert api("GET", "/api/items").json()["items"] == [first]


@pytest.mark.parametrize(
    ("one", "other"), [("a", "ä"), ("A-1", "A-01"), ("A/B", "A B"), ("A B", "AB")]
)
def test_part_numbers_that_differ_are_told_apart(api, one, other):
    for part_number in (one, other):
        assert api("POST", "/api/items", {"part_number": part_number}).status_code == 201
    assert Item.objects.count() == 2


@pytest.fixture
def parts():
    for part_number, description in [
        ("A01-0001", "Housing"),
        ("A01-0002", "Cover, 100% recycled"),
        ("B_1", "Größe M5"),
        ("DIN 912/M5", "Screw"),
        ("x\\y", ""),
    ]:
        Item.objects.create(part_number=part_number, description=description)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", "A01-0001|A01-0002|B_1|DIN 912/M5|x\\y"),
        ("A01", "A01-0001|A01-0002"),
        ("a01", "A01-0001|A01-0002"),
        ("housing", "A01-0001"),
        ("M5", "B_1|DIN 912/M5"),
        ("912/", "DIN 912/M5"),
        ("%", "A01-0002"),
        ("100%", "A01-0002"),
        ("_", "B_1"),
        ("\\", "x\\y"),
        ("Größe", "B_1"),
        ("nothing", ""),
        ("' OR 1=1 --", ""),
        ("x" * 5_000, ""),
    ],
)
def test_search_finds_parts_of_number_and_description(api, parts, search, found):
    answer = api("GET", "/api/items", query_params={"search": search})
    assert answer.status_code == 200
    numbers = {item["part_number"] for item in answer.json()["items"]}
    assert numbers == set(filter(None, found.split("|")))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"prefix": "A01"}, "A01-0001|A01-0002"),
        ({"prefix": "A01-0002"}, "A01-0002"),
        ({"prefix": "a01"}, "A01-0001|A01-0002"),
        ({"prefix": "DiN"}, "DIN 912/M5"),
        ({"prefix": "01"}, ""),
        ({"prefix": "B_"}, "B_1"),
        ({"prefix": "%"}, ""),
        ({"prefix": "x\\"}, "x\\y"),
        ({"prefix": "A", "search": "housing"}, "A01-0001"),
        ({"prefix": "A", "after": "A01-0001"}, "A01-0002"),
    ],
)
def test_a_prefix_is_how_the_number_begins(api, parts, query, found):
    answer = api("GET", "/api/items", query_params=query).json()["items"]
    assert [item["part_number"] for item in answer] == list(filter(None, found.split("|")))


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 1000])
@pytest.mark.parametrize("search", ["", "m5"])
def test_pages_have_no_gaps_and_nothing_twice(api, parts, limit, search):
    expected = [
        item["part_number"] for item in api("GET", f"/api/items?search={search}").json()["items"]
    ]
    found, after = [], ""
    for _ in range(10):
        query = {"limit": limit, "after": after, "search": search}
        answer = api("GET", "/api/items", query_params=query).json()
        found += [item["part_number"] for item in answer["items"]]
        after = answer["next"]
        if after is None:
            break
        assert len(answer["items"]) == limit
    assert found == expected
    assert len(found) == len(set(found))


def test_a_page_has_100_without_a_limit_and_at_most_1000(api):
    Item.objects.bulk_create(Item(part_number=f"P{number:04}") for number in range(1_001))
    assert len(api("GET", "/api/items").json()["items"]) == 100
    answer = api("GET", "/api/items?limit=1000").json()
    assert (len(answer["items"]), answer["next"]) == (1_000, "P0999")


def test_after_need_not_be_a_part_number(api):
    make_item("A")
    for after, count in (("", 1), ("@", 1), ("A", 0), ("ZZZ", 0), ("x" * 5_000, 0)):
        answer = api("GET", "/api/items", query_params={"after": after})
        assert len(answer.json()["items"]) == count
