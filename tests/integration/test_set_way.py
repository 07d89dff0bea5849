"""Calls through the writer: who leaves, whose token is revoked, and who is refused, while a request waits."""

import asyncio
import json
import threading

import pytest
from django.conf import settings
from django.db import OperationalError, connections, transaction
from django.db.models.functions import Now

from events_app.database.set_writer import Overloaded
from sessions_app import credentials, payloads, writer
from sessions_app.api.in_sets import JSON_TYPE
from sessions_app.models import ApiToken, EditSession
from silo import set_calls, set_way, short_way
from silo.api import api
from tests.factories import acquire, make_item
from tests.integration.held_writer import Place, Scene
from tests.integration.hot_calls import tokens_stay_known


@pytest.fixture(params=[True, False], ids=["by the lane", "as an application"])
def scene(request, committed_db, monkeypatch):
    with tokens_stay_known():
        yield Scene(monkeypatch, request.param)


@pytest.fixture
def ada(scene):
    return Place("ada")


@pytest.fixture
def bob(scene):
    return Place("bob")


async def in_database(function, *args):
    """Call a function in another thread, which uses the database once."""

    def call():
        try:
            return function(*args)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


def held():
    """Who holds what, by names."""
    rows = EditSession.objects.values_list("user__username", "item__part_number")
    return {*rows}


def test_requests_that_come_meanwhile_are_one_set(scene, ada, bob):
    one, two, three = (make_item(f"ITEM {number}") for number in range(3))

    async def script():
        first = await scene.hold(ada.acquires(one))
        others = [scene.ask(ada.acquires(two)), scene.ask(bob.acquires(three))]
        await scene.waits(ada)
        await scene.waits(bob)
        scene.go.set()
        assert [(await task)[0] for task in (first, *others)] == [200, 200, 200]
        assert [len(some) for some in scene.sets] == [1, 2]

    scene.run(script)
    assert held() == {("ada", "ITEM 0"), ("ada", "ITEM 1"), ("bob", "ITEM 2")}


def test_two_who_want_one_item_are_decided_one_after_the_other(scene, ada, bob):
    one, two = make_item("ONE"), make_item("TWO")

    async def script():
        first = await scene.hold(ada.acquires(one))
        others = [scene.ask(ada.acquires(two)), scene.ask(bob.acquires(two))]
        await scene.waits(bob)
        await scene.waits(ada)
        scene.go.set()
        assert [(await task)[0] for task in (first, *others)] == [200, 200, 409]
        assert [len(some) for some in scene.sets] == [1, 1, 1]

    scene.run(script)


def test_half_of_a_set_is_refused(scene, ada, bob):
    one, two, three = (make_item(f"ITEM {number}") for number in range(3))

    async def script():
        await scene.ask(bob.acquires(two))
        first = await scene.hold(ada.acquires(one))
        others = [scene.ask(ada.acquires(two)), scene.ask(bob.acquires(three))]
        await scene.waits(ada)
        await scene.waits(bob)
        scene.go.set()
        assert [(await task)[0] for task in (first, *others)] == [200, 409, 200]
        assert len(scene.sets[-1]) == 2

    scene.run(script)
    assert held() == {("ada", "ITEM 0"), ("bob", "ITEM 1"), ("bob", "ITEM 2")}


def test_a_large_answer_is_built_beside_the_event_loop(scene, ada, monkeypatch):
    item = make_item("ONE")
    cone = [f"node {number}" for number in range(set_way.MOST_AT_ONCE + 1)]
    acquire(ada.workstation, item, cone=cone)
    threads = []
    to_json = payloads.acquired_json

    def noted(acquired):
        threads.append(threading.current_thread())
        return to_json(acquired)

    monkeypatch.setattr(payloads, "acquired_json", noted)

    async def script():
        status, _, body = await scene.ask(ada.acquires(item))
        assert status == 200
        assert json.loads(body)["dependency_cone"] == cone

    scene.run(script)
    assert threading.main_thread() not in threads
    assert len(threads) == 1


def test_a_client_that_leaves_while_its_request_waits_has_asked_nothing(scene, ada, bob):
    one, two = make_item("ONE"), make_item("TWO")

    async def script():
        first = await scene.hold(ada.acquires(one))
        left = asyncio.Event()
        leaves = scene.ask(bob.acquires(two), left)
        await scene.waits(bob)
        left.set()
        assert await leaves is None
        scene.go.set()
        assert (await first)[0] == 200

    scene.run(script)
    assert held() == {("ada", "ONE")}


def test_a_client_that_leaves_later_finds_what_it_got(scene, ada):
    item = make_item("ONE")

    async def script():
        left = asyncio.Event()
        scene.go.clear()
        leaves = scene.ask(ada.acquires(item), left)
        await scene.until(lambda: scene.sets)
        left.set()
        assert await leaves is None
        scene.go.set()
        status, _, body = await scene.ask(ada.acquires(item))
        assert status == 200
        assert '"existing":true' in body

    scene.run(script)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda user: ApiToken.objects.filter(user=user).update(revoked_at=Now()), 401),
        (lambda user: type(user).objects.filter(pk=user.pk).update(is_active=False), 401),
        (lambda user: user.groups.clear(), 403),
    ],
)
def test_a_token_that_is_good_no_more_when_the_turn_of_its_request_comes(
    scene, ada, bob, change, status
):
    one, two = make_item("ONE"), make_item("TWO")

    async def script():
        first = await scene.hold(ada.acquires(one))
        waits = scene.ask(bob.acquires(two))
        await scene.waits(bob)
        await in_database(change, bob.workstation.user)
        # As the notification of the change does.
        credentials.cache.notified(str(bob.workstation.user.pk))
        scene.go.set()
        assert (await first)[0] == 200
        assert (await waits)[0] == status

    scene.run(script)
    assert held() == {("ada", "ONE")}


def test_too_many_of_one_user_are_refused_but_no_release_and_nobody_else(scene, ada, bob):
    items = [make_item(f"ITEM {number}") for number in range(5)]

    async def script():
        await scene.ask(ada.acquires(items[0]))
        session = await in_database(EditSession.objects.select_related("item").get)
        first = await scene.hold(ada.acquires(items[1]))
        waits = [
            scene.ask(ada.acquires(items[2])) for _ in range(settings.LIMITS.requests_per_user)
        ]
        await scene.waits(ada, len(waits))
        status, headers, body = await scene.ask(ada.acquires(items[3]))
        assert status == 429
        assert "too_many_requests" in body
        assert b"retry-after" in dict(headers)
        let_in = [scene.ask(ada.releases(session)), scene.ask(bob.acquires(items[4]))]
        await scene.waits(bob)
        scene.go.set()
        assert [(await task)[0] for task in (first, *let_in)] == [200, 204, 200]
        assert {(await task)[0] for task in waits} == {200}
        # The release and the other user did not wait for this one's flood.
        assert [len(one) for one in scene.sets[2:4]] == [2, 1]

    scene.run(script)


@pytest.mark.parametrize(
    ("error", "status"), [(OperationalError("gone"), 503), (Overloaded("Too many."), 503)]
)
def test_errors_of_the_writer_have_their_envelope(scene, ada, error, status):
    item = make_item("ONE")

    async def script():
        scene.error = error
        answered, headers, body = await scene.ask(ada.acquires(item))
        assert answered == status
        assert '"error": "unavailable"' in body
        assert b"retry-after" in dict(headers)

    scene.run(script)


def test_a_row_that_is_locked_keeps_only_its_own_request_waiting(scene, ada, bob):
    one, two, three = (make_item(f"ITEM {number}") for number in range(3))
    locked, free = threading.Event(), threading.Event()

    def lock():
        with transaction.atomic():
            list(type(one).objects.select_for_update().filter(pk=two.pk))
            locked.set()
            assert free.wait(20)

    async def script():
        locking = asyncio.create_task(in_database(lock))
        await asyncio.to_thread(locked.wait, 20)
        first = await scene.hold(ada.acquires(one))
        blocked, other = scene.ask(ada.acquires(two)), scene.ask(bob.acquires(three))
        await scene.waits(bob)
        await scene.waits(ada)
        scene.go.set()
        answers = [(await task)[0] for task in (first, blocked, other)]
        # The way of all other requests has threads in which to wait.
        assert (answers, scene.handed_on) == ([200, 418, 200], 1)
        tried = len(scene.sets)
        # For some seconds it is not tried again.
        assert (await scene.ask(bob.acquires(two)))[0] == 418
        assert len(scene.sets) == tried
        free.set()
        await locking

    scene.run(script)
    assert held() == {("ada", "ITEM 0"), ("bob", "ITEM 2")}


def test_two_writers_want_the_same_items_in_opposite_order(scene):
    items = [make_item(f"ITEM {number}") for number in range(3)]
    places = [Place(f"user{number}") for number in range(6)]
    other = writer.new_writer()
    got = dict.fromkeys(places, 0)

    async def pairs(place, way, wanted):
        for _ in range(8):
            status, _, body = await place.acquires_all(wanted).of(way)
            assert status in (200, 409)
            if status == 200:
                got[place] += 1
                ids = [one["session_id"] for one in json.loads(body)["sessions"]]
                status, _, body = await place.releases_all(ids).of(way)
                # Nobody else had any of them meanwhile.
                assert (status, json.loads(body)) == (200, {"released": len(wanted)})

    async def script():
        other_way = scene.way_to(other)
        try:
            await asyncio.gather(
                *(pairs(place, scene.way, items) for place in places[::2]),
                *(pairs(place, other_way, items[::-1]) for place in places[1::2]),
            )
        finally:
            await other.close()

    scene.run(script)
    assert scene.handed_on == 0
    assert sum(got.values()) > 0
    assert held() == set()


def test_a_token_that_is_not_known_goes_the_other_way(scene, ada):
    credentials.cache.notified("")

    async def script():
        assert (await scene.ask(ada.acquires(make_nothing())))[0] == 418

    def make_nothing():
        return type("Item", (), {"part_number": "X"})

    scene.run(script)
    assert (scene.handed_on, scene.sets) == (1, [])


def test_each_call_of_the_writer_is_a_hot_call():
    calls = set_calls._operations()
    assert api.get_content_type() == JSON_TYPE
    assert {name for _, name in calls} == {
        "api:acquire",
        "api:acquire_batch",
        "api:release",
        "api:release_many",
    }
    assert calls.keys() < short_way.CALLS
