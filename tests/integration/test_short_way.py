"""Hot calls are answered alike by Django, on the short way and through the writer, whatever is sent."""

import json
import uuid
from functools import partial

import pytest
from django.conf import settings as configured
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_app import wrong_credentials
from sessions_app.api import edit_sessions, workstations
from sessions_app.authentication import shared_principals
from sessions_app.models import Item
from sessions_app.writer import new_writer
from silo import set_way, short_way
from silo.asgi import django_application
from silo.hot_calls import HOT_CALLS
from tests.integration.by_lane import ByLane
from tests.integration.by_lane import run as run_in_loop
from tests.integration.hot_calls import Ask, World, acquire_url, tokens_stay_known


@pytest.fixture
def worlds(committed_db):
    """Worlds that are the same but for their names, one for each way. Their tokens are known without a query."""
    with tokens_stay_known():
        worlds = World(1), World(2), World(3), World(4)
        tokens = {token for one in worlds for token in (one.token, one.viewers, one.nobodys)}
        shared_principals(tokens)
        yield worlds


class HandedOn:
    """Django, behind another way, and how often it was asked."""

    def __init__(self):
        self.times = 0

    async def __call__(self, scope, receive, send):
        self.times += 1
        await django_application(scope, receive, send)


def all_ways(worlds, make, *, is_usual=True):
    """Answer a request in each world: by Django, by the short way, through the writer, and so by the lane.

    Args:
        worlds: one for each way.
        make: returns the request in a world.
        is_usual: whether it is one that the lane may read; what it does with others is known by `test_lane.py`.

    Returns:
        The answers, and of the other ways whether they handed the request on.
    """
    wrong_credentials.forget()
    short, by_writer, by_lane = HandedOn(), HandedOn(), HandedOn()

    async def run():
        writer = new_writer()
        try:
            ways = (
                django_application,
                short_way.application(short, 1),
                set_way.SetWay(writer).application(by_writer),
                ByLane(set_way.SetWay(writer), by_lane),
            )[: 4 if is_usual else 3]
            return [await make(world).of(way) for world, way in zip(worlds, ways, strict=False)]
        finally:
            await writer.close()

    def normal(answer, world):
        status, headers, body = answer
        # The id of a request is Django's only, and another one each time.
        headers = [one for one in headers if one[0] != b"x-request-id"]
        lengths = {b"content-length"}
        return (
            status,
            [one for one in headers if one[0] not in lengths or status == 204],
            {name for name, _ in headers},
            world.normal(body),
        )

    answers = run_in_loop(run)
    assert (
        len({len(one[2].encode()) == int(dict(one[1])[b"content-length"]) for one in answers}) == 1
    )
    normals = [normal(*one) for one in zip(answers, worlds, strict=False)]
    return normals, *(bool(way.times) for way in (short, by_writer, by_lane))


def alike(worlds, make, status, *, through_writer=True):
    """Check that all ways answer alike, with this status, and that those were taken that should be."""
    (by_django, by_short_way, by_writer, by_lane), *handed_on = all_ways(worlds, make)
    assert by_short_way == by_django
    assert by_writer == by_django
    assert by_lane == by_django
    assert by_django[0] == status
    assert handed_on == [False, not through_writer, not through_writer]


def test_an_id_is_no_name_whatever_its_digits(worlds):
    for world, name in zip(worlds, ("ada1", "ada2", "ada3", "ada4"), strict=True):
        assert world.normal(f"{name}0bdc-efe3-4ad4-8891-ad3e0bd43056 {name}") == "~ ada"


def wanted(world, **further):
    return {"workstation_id": world.ada.pk, "context_level": "sketch"} | further


def ask_free(world, body=None, **changed):
    """An acquire of what is free."""
    body = wanted(world, object_id="S", dependency_cone=["n"]) if body is None else body
    return Ask(world, "POST", acquire_url(world.part), body, **changed)


def test_the_life_of_a_session(worlds):
    alike(worlds, ask_free, 200)
    alike(worlds, ask_free, 200)
    ids = [str(world.ada.editsession_set.get(object_id="S").pk) for world in worlds]
    tokens = [world.ada.editsession_set.get(object_id="S").fencing_token for world in worlds]
    which = dict(zip(worlds, range(4), strict=True))

    def one(world, method, ending="", body=b""):
        return Ask(world, method, f"{acquire_url(world.part)}/{ids[which[world]]}{ending}", body)

    def verify(world):
        return one(world, "POST", "/verify", {"fencing_token": tokens[which[world]]})

    # A vault's question is no write.
    stale = partial(one, method="POST", ending="/verify", body={"fencing_token": 0})
    alike(worlds, verify, 200, through_writer=False)
    alike(worlds, stale, 409, through_writer=False)
    alike(worlds, partial(one, method="DELETE"), 204)
    alike(worlds, partial(one, method="DELETE"), 404)
    alike(worlds, verify, 409, through_writer=False)


def test_batches(worlds):
    def batch(world, *parts):
        sessions = [
            {"part_number": getattr(world, part), "context_level": "sketch"} for part in parts
        ]
        body = {"workstation_id": world.ada.pk, "sessions": sessions}
        return Ask(world, "POST", "/api/edit-sessions/batch", body)

    def release(world):
        ids = [str(pk) for pk in world.ada.editsession_set.values_list("pk", flat=True)]
        return Ask(world, "POST", "/api/edit-sessions/release", {"session_ids": ids})

    releases = {world: release(world) for world in worlds}
    alike(worlds, partial(batch), 422, through_writer=False)
    alike(worlds, lambda world: batch(world, "part", "held"), 200)
    alike(worlds, lambda world: batch(world, "part", "others"), 409)
    alike(worlds, lambda world: releases[world], 200)


def test_the_release_of_a_workstation(worlds):
    def release(world, **which):
        return Ask(world, "DELETE", release_all_url(which.get("pk", world.ada.pk)))

    alike(worlds, lambda world: release(world, pk=world.bobs), 403, through_writer=False)
    alike(worlds, lambda world: release(world, pk=uuid.uuid4()), 404, through_writer=False)
    alike(worlds, release, 200, through_writer=False)
    assert not any(world.ada.editsession_set.exists() for world in worlds)
    alike(worlds, release, 200, through_writer=False)


def release_all_url(workstation_id):
    return f"/api/workstations/{workstation_id}/edit-sessions"


def others_are_held(world):
    return Ask(world, "POST", acquire_url(world.others), wanted(world))


REFUSED = {
    "held by another": (others_are_held, 409),
    "no such item": (lambda world: Ask(world, "POST", acquire_url("X"), wanted(world)), 404),
    "another's workstation": (lambda w: ask_free(w, wanted(w) | {"workstation_id": w.bobs}), 403),
    "no workstation": (lambda w: ask_free(w, wanted(w, workstation_id=uuid.uuid4())), 404),
    "no connection": (lambda w: ask_free(w, wanted(w, connection_id=uuid.uuid4())), 409),
    "a viewer": (lambda w: ask_free(w, authorization=f"Bearer {w.viewers}"), 403),
    "no role": (lambda w: ask_free(w, authorization=f"Bearer {w.nobodys}"), 403),
    "a token that is gone": (lambda w: ask_free(w, authorization=f"Bearer {w.revoked}"), 401),
    "no token": (lambda w: ask_free(w, authorization="Bearer "), 401),
    "nonsense for a token": (lambda w: ask_free(w, authorization="bearer é \t"), 401),
    "a foreign host": (lambda w: ask_free(w, host="evil.example"), 400),
    "an odd host": (lambda w: ask_free(w, host="127.0.0.1:x@y"), 400),
    "no session": (
        lambda w: Ask(w, "DELETE", f"{acquire_url(w.part)}/{uuid.uuid4()}"),
        404,
    ),
    "a control in the part number": (
        lambda w: Ask(w, "POST", acquire_url("a%0Ab"), wanted(w)),
        422,
    ),
    "NUL in the part number": (lambda w: Ask(w, "POST", acquire_url("a%00b"), wanted(w)), 422),
    "a long part number": (lambda w: Ask(w, "POST", acquire_url("a" * 300), wanted(w)), 422),
    "an address within a part number": (
        lambda w: Ask(w, "POST", acquire_url("a/edit-sessions/b"), wanted(w)),
        404,
    ),
}


HANDED_ON = {
    # What was found out about them is kept of valid tokens only.
    "a token that is gone",
    "no token",
    "nonsense for a token",
    # The writer is asked for nothing, and Ninja says why.
    "a viewer",
    "no role",
    "a foreign host",
    "an odd host",
    "a control in the part number",
    "NUL in the part number",
    "a long part number",
}


def test_refusals(worlds):
    for case, (make, status) in REFUSED.items():
        alike(worlds, make, status, through_writer=case not in HANDED_ON)


BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"[" * 50_000,
    b"[" * 8_000,
    b'{"workstation_id": NaN, "context_level": 1e999}',
    b'{"workstation_id": "\\ud800", "context_level": "sketch"}',
    b'{"context_level": "sketch", "context_level": "assembly"}',
    b"a=b&c=d",
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
]


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", ""]
)
def test_bodies_that_are_none(worlds, content_type):
    for body in BODIES:
        make = partial(ask_free, body=body, content_type=content_type)
        alike(worlds, make, 422, through_writer=False)


def odd_bodies(world):
    """Valid acquires in unusual forms, and whether the writer takes them."""
    plain = json.dumps(wanted(world, object_id="S \u00e9"), default=str)
    twice = plain.replace('"sketch"', '"sketch", "context_level": "assembly"')
    return {
        "blanks": (f" \r\n\t{plain}\n".encode(), True),
        "without escapes": (plain.replace("\\u00e9", "\u00e9").encode(), True),
        "a member twice": (twice.encode(), True),
        "no hyphens": (plain.replace("-", "").encode(), True),
        "nulls": (plain.replace("}", ', "note": null, "connection_id": null}').encode(), True),
        "a mark of UTF-8": (b"\xef\xbb\xbf" + plain.encode(), False),
        "UTF-16": (plain.encode("utf-16"), False),
        "UTF-32": (plain.encode("utf-32-le"), False),
    }


def test_odd_forms_of_a_valid_body(worlds):
    for case, (_, through_writer) in odd_bodies(worlds[0]).items():
        alike(
            worlds,
            lambda world, case=case: ask_free(world, odd_bodies(world)[case][0]),
            200,
            through_writer=through_writer,
        )


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=latin-1", "application/x-www-form-urlencoded", "text/plain", None],
)
def test_what_a_body_is_called_does_not_count(worlds, content_type):
    alike(worlds, partial(ask_free, content_type=content_type), 200)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
CHANGES = st.dictionaries(
    st.sampled_from(
        [
            "workstation_id",
            "context_level",
            "object_id",
            "dependency_cone",
            "note",
            "connection_id",
            "x",
        ]
    ),
    JSON
    | st.sampled_from(["sketch", "assembly", "", "\x00", "\u202e", "n" * 501, ["n"], [""], [1]]),
    max_size=3,
)


def test_any_body(worlds):
    @settings(
        max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(changes=CHANGES)
    def run(changes):
        answers, *handed_on = all_ways(
            worlds, lambda world: ask_free(world, wanted(world, **changes))
        )
        assert answers[0] == answers[1] == answers[2] == answers[3]
        # Why a body is not valid is said by Ninja.
        is_invalid = answers[0][0] == 422
        assert handed_on == [False, is_invalid, is_invalid]

    run()


UNUSUAL = {
    "another method": lambda w: Ask(w, "PUT", acquire_url(w.part), wanted(w)),
    "HEAD": lambda w: Ask(w, "HEAD", acquire_url(w.part)),
    "another call": lambda w: Ask(w, "POST", "/api/items", {}),
    "no such address": lambda w: Ask(w, "POST", "/api/items/x/edit-sessions/no-uuid", {}),
    "a method that this address has not": lambda w: Ask(w, "DELETE", acquire_url(w.part)),
    "a query": lambda w: Ask(w, "POST", acquire_url(w.part) + "?a=b", wanted(w)),
    "a cookie": lambda w: ask_free(w, cookie="sessionid=x"),
    "an origin": lambda w: ask_free(w, origin="https://other.example"),
    "no credentials": lambda w: ask_free(w, authorization=None),
    "other credentials": lambda w: ask_free(w, authorization="Basic YTpi"),
    "two credentials": lambda w: ask_free(w, authorization=["Bearer x", "Bearer y"]),
    "two hosts": lambda w: ask_free(w, host=["127.0.0.1", "127.0.0.1"]),
    "chunks": lambda w: ask_free(w, transfer_encoding="chunked", content_length=None),
    "an expectation": lambda w: ask_free(w, expect="100-continue"),
    "a large body": lambda w: ask_free(w, wanted(w, note="n" * short_way.MOST_BYTES)),
    "a size that is none": lambda w: ask_free(w, content_length="+5"),
}


def test_what_is_unusual_is_handed_on_untouched(worlds):
    for case, make in UNUSUAL.items():
        answers, *handed_on = all_ways(worlds, make, is_usual=False)
        assert answers[0] == answers[1] == answers[2], case
        assert handed_on == [True, True, False], case


def test_a_retired_item(worlds):
    Item.objects.filter(part_number__startswith="RETIRED").update(retired_at="2025-01-01T00:00Z")
    alike(worlds, lambda world: Ask(world, "POST", acquire_url(world.retired), wanted(world)), 409)


def test_every_call_is_one_of_the_api():
    """An operation that gets another name or address is not left out silently, here or by the lane."""
    for method, name in short_way.CALLS:
        view = name.removeprefix("api:")
        module = edit_sessions if hasattr(edit_sessions, view) else workstations
        operation = getattr(module, view)._ninja_operation
        assert operation.methods == [method]
        kwargs = {"part_number": "A", "session_id": uuid.uuid4(), "workstation_id": uuid.uuid4()}
        names = [name for name in kwargs if f":{name}}}" in operation.path]
        path = reverse(name, kwargs={name: kwargs[name] for name in names})
        assert HOT_CALLS.fullmatch(f"{method} {path}".encode())


def test_middleware_that_is_left_out_is_there():
    assert set(configured.MIDDLEWARE) > short_way._LEFT_OUT
