"""Many sessions with large cones that all meet: an end, a turn, an acquire, a list take no longer than others wait."""

import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Now

from sessions_app import operations, sweeper
from sessions_app.interference import compare, lists
from sessions_app.models import EditSession, PlaceInLine
from sessions_app.models.results import Wanted
from silo.database import IDLE_IN_TRANSACTION_MS
from tests.factories import acquire, connect, events, make_item, make_user, make_workstation, stand

pytestmark = pytest.mark.django_db

# What nobody else's work on this machine may turn into the database's own bound.
LONGEST_PAUSE_SECONDS = IDLE_IN_TRANSACTION_MS / 1000 / 2
# As the service may meet it, and the same with bounds a hundred times smaller.
SESSIONS, NODE_KEYS = 110, 10_000
SMALL_SESSIONS, SMALL_NODE_KEYS = 11, 100


def make_cone(count, name="Sketch"):
    return tuple(f"{name}{number:05}" for number in range(count))


@pytest.fixture
def small(monkeypatch):
    for name in ("MAX_SHARED", "MAX_COMPARED", "MAX_LOOKED_THROUGH", "MAX_INDEX_ENTRIES"):
        monkeypatch.setattr(compare, name, getattr(compare, name) // 1000)
    monkeypatch.setattr(compare, "MAX_LOOKED_UP_TWICE", 100)
    monkeypatch.setattr(lists, "MAX_LISTED_NODE_KEYS", 500)


def make_crowd(item, count, cone):
    """Sessions of one workstation with one and the same cone on one item."""
    workstation = make_workstation(make_user("crowd"))
    sessions = [
        EditSession(
            item=item,
            workstation=workstation,
            user=workstation.user,
            context_level="sketch",
            object_id=f"crowd {number:03}",
            dependency_cone=cone,
        )
        for number in range(count)
    ]
    # A million node keys in one statement are too much for a small machine.
    EditSession.objects.bulk_create(sessions, batch_size=10)
    return workstation


@pytest.fixture
def crowd(small, item):
    return make_crowd(item, SMALL_SESSIONS, make_cone(SMALL_NODE_KEYS))


def make_holder(item, cone):
    """Whoever holds what somebody waits for; return both."""
    holder, waiting = (make_workstation(make_user(name)) for name in ("holder", "waiting"))
    acquire(holder, item, "wanted", cone=cone)
    connect(waiting)
    stand(waiting, item, "wanted", cone=cone)
    return holder, waiting


class Pauses:
    """The longest time between two statements: while a transaction holds locks, the database waits no longer."""

    def __init__(self):
        self.longest = 0.0
        self._since = None

    def __call__(self, execute, sql, params, many, context):
        if self._since is not None:
            self.longest = max(self.longest, time.monotonic() - self._since)
        try:
            return execute(sql, params, many, context)
        finally:
            self._since = time.monotonic()

    def __enter__(self):
        self._wrapper = connection.execute_wrapper(self)
        self._wrapper.__enter__()
        return self

    def __exit__(self, *error):
        self._wrapper.__exit__(*error)
        assert self.longest < LONGEST_PAUSE_SECONDS


def told(since=0):
    return [(kind, data) for kind, _, data in events()[since:]]


def kinds_told(since=0):
    return Counter(kind for kind, _ in told(since))


def check_turn(since, waiting, crowd, count, cone):
    """The one who waited has it, once, and everybody who met the old session or meets the new one is told."""
    assert EditSession.objects.get(object_id="wanted").workstation == waiting
    assert not PlaceInLine.objects.exists()
    kinds = kinds_told(since)
    assert kinds["edit.session_released"] == kinds["edit.session_granted"] == 1
    assert kinds["edit.interference_resolved"] == count
    assert kinds["edit.interference"] == 2 * count
    held = EditSession.objects.filter(workstation=crowd).values_list("pk", flat=True)
    begun = [data for kind, data in told(since) if kind == "edit.interference"]
    new = str(EditSession.objects.get(object_id="wanted").pk)
    assert {data["with"]["session_id"] for data in begun} == {new, *map(str, held)}
    each = compare.shared_each(count)
    assert all(data["shared"] == list(cone[:each]) for data in begun)
    granted = next(data for kind, data in told(since) if kind == "edit.session_granted")
    assert [one["shared"] for one in granted["conflicts"]] == [list(cone[:each])] * count


def test_the_holder_dies_on_an_item_with_a_million_node_keys(item):
    cone = make_cone(NODE_KEYS)
    crowd = make_crowd(item, SESSIONS, cone)
    holder, waiting = make_holder(item, cone)
    since = len(events())
    with Pauses():
        operations.presence.leave([holder.pk], timedelta(0))
    check_turn(since, waiting, crowd, SESSIONS, cone)
    session = EditSession.objects.get(object_id="wanted")
    with Pauses():
        operations.release.force_release(session.pk, by="root", note="why")
    with Pauses():
        assert len(operations.release.release_all(crowd.pk)) == SESSIONS


def test_it_is_forced(crowd, item):
    cone = make_cone(SMALL_NODE_KEYS)
    _, waiting = make_holder(item, cone)
    since = len(events())
    session = EditSession.objects.get(object_id="wanted")
    operations.release.force_release(session.pk, by="root", note="why")
    check_turn(since, waiting, crowd, SMALL_SESSIONS, cone)


def test_the_sweep_ends_them_and_all_others(crowd, item):
    _, waiting = make_holder(item, make_cone(SMALL_NODE_KEYS))
    acquire(make_workstation(make_user("other")), make_item("A01-0002"))
    EditSession.objects.update(last_heartbeat=Now() - Value(timedelta(hours=1)))
    sweep = sweeper.Sweep(timedelta(minutes=15), timedelta(0), timedelta(hours=24))
    while sweep.step():
        pass
    assert sweep.counts["expired"] == SMALL_SESSIONS + 2
    assert EditSession.objects.get().workstation == waiting


@pytest.mark.parametrize(("keys", "stops"), [(make_cone(100, "Pad"), 5), (make_cone(200), 0)])
def test_sessions_among_them_get_other_cones(crowd, item, keys, stops):
    """The others are one crowd: two each are told of each meeting that stops or begins."""
    one = make_workstation(make_user("one"))
    fill = [Wanted(item.part_number, "sketch", f"own {n}", make_cone(100)) for n in range(5)]
    operations.acquire.acquire_all(one.user, one.pk, fill)
    since = len(events())
    wanted = [Wanted(item.part_number, "sketch", want.object_id, keys) for want in fill]
    operations.acquire.acquire_all(one.user, one.pk, wanted)
    expected = {"edit.interference_resolved": 2 * stops * SMALL_SESSIONS} if stops else {}
    assert kinds_told(since) == expected
    operations.acquire.acquire_all(one.user, one.pk, fill)
    again = {"edit.interference": 2 * stops * SMALL_SESSIONS} if stops else {}
    assert kinds_told(since) == expected | again


def test_a_batch_meets_all_of_them(crowd, item):
    one = make_workstation(make_user("batch"))
    cone = make_cone(SMALL_NODE_KEYS)
    wanted = [Wanted(item.part_number, "sketch", f"new {number}", cone) for number in range(5)]
    acquired = operations.acquire.acquire_all(one.user, one.pk, wanted)
    assert [len(one.conflicts) for one in acquired] == [SMALL_SESSIONS] * 5
    begun = [data for kind, data in told() if kind == "edit.interference"]
    assert len(begun) == 2 * 5 * SMALL_SESSIONS
    assert not any(data["shared"] for data in begun)


def test_listed_meetings_are_right_where_known(crowd, item):
    holder, _ = make_holder(item, make_cone(SMALL_NODE_KEYS))
    theirs = EditSession.objects.get(workstation=holder)
    listed = list(EditSession.objects.with_names().order_by("-fencing_token"))
    met = lists.met_in_list(EditSession.objects.all(), listed)
    assert {one.pk for one in met.pop(theirs.pk)} < {one.pk for one in listed}
    known = [some for some in met.values() if some is not None]
    assert [[one.pk for one in some] for some in known] == [[theirs.pk]] * 4


def test_a_session_with_very_many_meetings_names_them_all(crowd, item):
    compare.MAX_LOOKED_THROUGH = 250
    one = acquire(make_workstation(make_user("one")), item, "one", cone=make_cone(2))
    shared = sorted(len(conflict.shared) for conflict in one.conflicts)
    assert shared == [0] * (SMALL_SESSIONS - 2) + [2] * 2
