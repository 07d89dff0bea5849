"""Bodies and queries that no honest client sends: refused, nothing changed, nothing told."""

import json
from urllib.parse import quote

import pytest

from tests.factories import acquire, api_of, counts, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db

UNKNOWN = "3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a"
CALLS = ["register", "add item", "acquire", "force"]


@pytest.fixture
def calls():
    """Method, address and good body of each call that takes a body."""
    bob = make_workstation(make_user("bob"))
    held = acquire(bob, make_item(), "Held").session
    workstation = make_workstation(make_user(role=None, is_superuser=True))
    on_item = "/api/items/A01-0001/edit-sessions"
    wanted = {
        "workstation_id": str(workstation.pk),
        "context_level": "sketch",
        "object_id": "Sketch001",
        "dependency_cone": ["n1"],
    }
    return workstation.user, {
        "register": ("POST", "/api/workstations", {"name": "cad", "fingerprint": "f"}),
        "add item": ("POST", "/api/items", {"part_number": "A02-0001", "description": "Nut"}),
        "acquire": ("POST", on_item, wanted),
        "force": ("DELETE", f"{on_item}/{held.pk}/force-release", {"reason": "He left."}),
    }


@pytest.fixture
def send(calls):
    """Send a body with one of the calls: raw, or the good one with some members changed."""
    user, known = calls
    api = api_of(user)

    def send(name, raw=None, /, **changes):
        method, path, good = known[name]
        before = counts()
        answer = api(method, path, json.dumps(good | changes) if raw is None else raw)
        if answer.status_code >= 400:
            assert counts() == before
            assert answer["Content-Type"] == "application/json"
            assert answer.json().keys() >= {"error", "message"}
            assert len(answer.content) < 20_000
            assert b"Traceback" not in answer.content
        return answer

    return send


def check_refused(answer, code="invalid"):
    assert (answer.status_code, answer.json()["error"]) == (422, code)


@pytest.mark.parametrize("name", CALLS)
def test_the_good_bodies_are_good(send, name):
    assert send(name).status_code in {200, 201, 204}


NOT_JSON = {
    "cut off": b'{"name": "cad"',
    "half a word": b"nul",
    "two": b"{}{}",
    "single quotes": b"{'name': 'cad'}",
    "trailing comma": b'{"name": "cad",}',
    "nested arrays": b"[" * 100_000,
    "closed nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge number": b"9" * 5_000,
    "huge number inside": b'{"name": ' + b"9" * 100_000 + b"}",
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "cut UTF-8": b'{"name": "\xc3"}',
    "NUL": b"\0",
    "raw NUL in a text": b'{"name": "a\0b"}',
    "raw newline in a text": b'{"name": "a\nb"}',
    "form": b"name=cad&fingerprint=f",
    "XML": b"<?xml version='1.0'?><name/>",
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON)
def test_a_body_that_is_not_json_is_refused(send, name, raw):
    check_refused(send(name, raw), "invalid_json")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "raw",
    [
        b'{"name": "\xed\xa0\x80"}',
        "",
        "{}",
        "[]",
        "[{}]",
        "1",
        "1.5",
        "true",
        "null",
        "NaN",
        "-Infinity",
        '"text"',
        '""',
    ],
)
def test_json_of_another_kind_is_refused(send, name, raw):
    check_refused(send(name, raw))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("key", ["colour", "", "\0", "\ud800", "__class__", "a" * 100_000])
def test_an_unknown_member_is_refused(send, name, key):
    check_refused(send(name, **{key: 1}))


def test_deep_values_are_refused_too(send):
    check_refused(send("add item", '{"part_number": ' + "[" * 500 + "]" * 500 + "}"))


TEXTS = [
    ("register", "name", 200),
    ("register", "fingerprint", 200),
    ("add item", "part_number", 200),
    ("add item", "description", 1000),
    ("add item", "item_type", 100),
    ("acquire", "object_id", 500),
    ("force", "reason", 2000),
]


@pytest.mark.parametrize(("name", "field", "longest"), TEXTS)
@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "a\nb", "\r", "a\tb", "\x1b[2J", "\x7f", "\x85", "\ud800", "a\udfff"]
)
def test_control_characters_and_lone_surrogates_are_refused(send, name, field, longest, text):
    check_refused(send(name, **{field: text}))


@pytest.mark.parametrize(("name", "field", "longest"), TEXTS)
@pytest.mark.parametrize("letter", ["x", "🛠"])
def test_a_text_may_be_so_long_and_no_longer(send, name, field, longest, letter):
    check_refused(send(name, **{field: letter * (longest + 1)}))
    assert send(name, **{field: letter * longest}).status_code in {200, 201, 204}


@pytest.mark.parametrize(("name", "field", "longest"), TEXTS)
@pytest.mark.parametrize(
    "value", [True, 0, 1, 1.5, 10**99, [], ["x"], {}, {"x": "y"}, float("nan")]
)
def test_a_text_is_a_text(send, name, field, longest, value):
    check_refused(send(name, **{field: value}))


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, field, _ in TEXTS if field != "object_id"]
)
def test_null_is_no_text(send, name, field):
    check_refused(send(name, **{field: None}))


@pytest.mark.parametrize("field", ["name", "fingerprint"])
@pytest.mark.parametrize("text", ["", " ", "\u3000"])
def test_a_workstation_has_a_visible_name_and_fingerprint(send, field, text):
    check_refused(send("register", **{field: text}))


@pytest.mark.parametrize("text", ["", " ", "\u3000 "])
def test_a_reason_is_visible(send, text):
    check_refused(send("force", reason=text))


@pytest.mark.parametrize("field", ["workstation_id", "connection_id"])
@pytest.mark.parametrize(
    "value",
    ["", "x", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN + "\0", "\ud800", 7, True, [], {}, [UNKNOWN]],
)
def test_a_malformed_uuid_is_refused(send, field, value):
    check_refused(send("acquire", **{field: value}))


@pytest.mark.parametrize(
    "value", ["Sketch", "SKETCH", "part", "", "sketch ", "sketch\0", None, 1, True, ["sketch"], {}]
)
def test_an_unknown_context_level_is_refused(send, value):
    check_refused(send("acquire", context_level=value))


@pytest.mark.parametrize("field", ["workstation_id", "context_level"])
def test_required_members_cannot_be_null_or_missing(send, calls, field):
    check_refused(send("acquire", **{field: None}))
    body = {key: value for key, value in calls[1]["acquire"][2].items() if key != field}
    check_refused(send("acquire", json.dumps(body)))


@pytest.mark.parametrize(
    "cone",
    [
        None,
        "n1",
        1,
        True,
        {},
        {"n1": 1},
        [None],
        [1],
        [True],
        [""],
        [["n1"]],
        [{}],
        ["n1", "\0"],
        ["a\nb"],
        ["\ud800"],
        ["x" * 501],
        ["n"] * 10_001,
        ["\0"] * 10_000,
    ],
    ids=lambda cone: repr(cone)[:20],
)
def test_a_bad_cone_is_refused(send, cone):
    check_refused(send("acquire", dependency_cone=cone))


def test_a_cone_of_10_000_long_node_keys_is_fine(send):
    cone = [f"{number:0500}" for number in range(10_000)]
    answer = send("acquire", dependency_cone=cone)
    assert answer.status_code == 200
    assert answer.json()["dependency_cone"] == cone


def test_the_last_of_two_equal_members_counts(send):
    answer = send("add item", '{"part_number": "A", "part_number": "B"}')
    assert answer.json()["part_number"] == "B"


BAD_QUERIES = [
    *((f"/api/items?{key}=%00") for key in ("search", "after")),
    *((f"/api/items?{key}=a%0Ab") for key in ("search", "after")),
    *((f"/api/edit-sessions?{key}=%00") for key in ("user", "item", "workstation", "all", "after")),
    "/api/edit-sessions?item=",
    "/api/edit-sessions?item=" + "x" * 201,
    "/api/edit-sessions?workstation=",
    "/api/edit-sessions?workstation=7",
    "/api/edit-sessions?all=maybe",
    "/api/edit-sessions?all=",
    *(
        f"/api/{what}?limit={limit}"
        for what in ("items", "edit-sessions")
        for limit in ("", "0", "-1", "1001", "1.5", "many", "NaN", "9" * 5_000, "%F0%9F%9B%A0")
    ),
    *(
        f"/api/edit-sessions?after={after}"
        for after in ("", "-1", "x", str(2**63), "9" * 5_000, "1.5", "null")
    ),
    "/api/items?" + "&".join(f"k{number}=1" for number in range(1_001)),
]


@pytest.mark.parametrize("path", BAD_QUERIES, ids=lambda path: path[:50])
def test_a_bad_query_is_refused(calls, path):
    before = counts()
    answer = api_of(calls[0])("GET", path)
    assert answer.status_code == 422
    assert answer.json().keys() >= {"error", "message"}
    assert len(answer.content) < 20_000
    assert counts() == before


@pytest.mark.parametrize("reason", ["", " ", "\0", "a\nb", "x" * 2001])
def test_a_bad_reason_in_the_query_is_refused_too(calls, reason):
    user, known = calls
    before = counts()
    answer = api_of(user)("DELETE", f"{known['force'][1]}?reason={quote(reason)}")
    check_refused(answer)
    assert counts() == before


def test_a_query_of_too_many_parameters_is_told_how_many_there_may_be(calls):
    answer = api_of(calls[0])("GET", "/api/items?" + "&".join(["k=1"] * 1_001))
    check_refused(answer)
    assert answer.json()["message"] == "A query has at most 1,000 parameters."
