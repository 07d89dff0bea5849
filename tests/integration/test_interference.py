"""Soft interference: which sessions meet, exactly, and by the index."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app.interference import cones, lists
from sessions_app.models import EditSession
from sessions_app.models.results import Conflict
from tests.factories import acquire, make_connected, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db

TABLE = EditSession._meta.db_table


@pytest.fixture
def user():
    return make_user()


@pytest.fixture
def held(user, item):
    """Make a session on a workstation of this name; return it."""
    workstations = {}

    def held(name, object_id="", cone="", on=item, level="sketch"):
        workstation = workstations.get(name) or make_workstation(user, name)
        workstations[name] = workstation
        return acquire(workstation, on, object_id, level, tuple(cone.split())).session

    return held


def meetings(*sessions, **options):
    """Return the meetings of sessions."""
    found = cones.meetings_of(
        EditSession.objects.all(), [session.pk for session in sessions], **options
    )
    assert found == sorted(found, key=lambda each: (each.session_id, each.other_id))
    return {(each.session_id, each.other_id): list(each.shared) for each in found}


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (("A", "n1 n2"), ("B", "n3 n2"), ["n2"]),
        (("A", "n2 n1 n1"), ("B", "n1 n2 n2 n1"), ["n1", "n2"]),
        (("A", "n1"), ("B", "n2"), None),
        (("A", "n1"), ("B", "N1"), None),
        (("A", ""), ("B", ""), None),
        (("A", "n1"), ("", "n1 n2"), ["n1"]),
        (("A", "n1"), ("", "n2"), []),
        (("A", ""), ("", ""), []),
    ],
)
def test_two_meet_from_both_sides(held, one, other, shared):
    a = held("ada's", *one)
    b = held("bob's", *other)
    assert meetings(a) == ({} if shared is None else {(a.pk, b.pk): shared})
    assert meetings(b) == ({} if shared is None else {(b.pk, a.pk): shared})


def test_two_that_edit_the_whole_item_meet(held):
    a, b = held("ada's"), held("bob's", level="assembly")
    assert meetings(a) == {(a.pk, b.pk): []}


def test_neither_oneself_nor_another_item_is_met(held):
    a = held("ada's", "A", "n1")
    held("ada's", "B", "n1")
    held("ada's")
    held("bob's", "A", "n1", on=make_item("A01-0002"))
    held("bob's", on=make_item("A01-0003"))
    assert meetings(a) == {}


def test_meetings_among_the_given_sessions_are_left_out_or_named_from_both_sides(held):
    a, b, c = held("ada's", "A", "n1 n2"), held("bob's", "B", "n2 n3"), held("cem's", "C", "n3")
    assert meetings(a, b) == {(b.pk, c.pk): ["n3"]}
    assert meetings(a, b, also_among_them=True) == {
        (a.pk, b.pk): ["n2"],
        (b.pk, a.pk): ["n2"],
        (b.pk, c.pk): ["n3"],
    }
    assert meetings(a, b, c) == {}
    assert meetings() == {}


def test_any_number_on_any_number_of_items_is_two_queries(held):
    items = [make_item(f"A02-{number}") for number in range(5)]
    mine = [held("ada's", "A", "n1 n2", on=item) for item in items]
    theirs = [held(f"w{n}", f"B{n}", "n2", on=item) for item in items for n in range(3)]
    with CaptureQueriesContext(connection) as queries:
        found = meetings(*mine)
    assert len(queries) == 2
    of = {session.item_id: session.pk for session in mine}
    assert found == {(of[session.item_id], session.pk): ["n2"] for session in theirs}


def test_node_keys_of_the_same_number_are_told_apart(held, item, user):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(key), max(key) FROM (SELECT 'n' || i AS key FROM generate_series(1, 300000) i) k"
            " GROUP BY sessions_app_cone_keys(%s, ARRAY[key]) HAVING count(*) > 1 LIMIT 1",
            [item.pk],
        )
        one, other = cursor.fetchone()
    assert one != other
    a, b = held("ada's", "A", one), held("bob's", "B", other)
    assert meetings(a) == meetings(b) == {}
    assert acquire(make_workstation(user, "cem's"), item, "C", cone=(one,)).conflicts == [
        Conflict(a, [one])
    ]
    c = EditSession.objects.get(object_id="C")
    assert meetings(c, b) == {(c.pk, a.pk): [one]}


def fill(user, item):
    """Put 1,000 sessions on an item and one on each of 3,000 others, with the same node keys."""
    workstations = [make_workstation(user, f"w{number}").pk for number in range(10)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sessions_app_item (id, part_number, key, description, item_type)"
            " SELECT gen_random_uuid(), 'B' || i, 'b' || i, '', '' FROM generate_series(1, 3000) i"
        )
        cursor.execute(
            f"INSERT INTO {TABLE} (id, item_id, workstation_id, user_id, context_level, object_id, dependency_cone)"
            " SELECT gen_random_uuid(), id, %(workstation)s, %(user)s, 'sketch', 'S',"
            "   ARRAY(SELECT 'Sketch' || i FROM generate_series(1, 20) i)"
            " FROM sessions_app_item WHERE part_number LIKE 'B%%'",
            {"workstation": workstations[0], "user": user.pk},
        )
        cursor.execute(
            f"INSERT INTO {TABLE} (id, item_id, workstation_id, user_id, context_level, object_id, dependency_cone)"
            " SELECT gen_random_uuid(), %(item)s, (%(workstations)s::uuid[])[1 + n %% 10], %(user)s,"
            "   'sketch', 'S' || n, ARRAY(SELECT 'Sketch' || (n * 10 + i) FROM generate_series(1, 20) i)"
            " FROM generate_series(1, 1000) n",
            {"item": item.pk, "workstations": workstations, "user": user.pk},
        )


def plans(queries):
    """Return the plans of those queries that look at cones."""
    found = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if "cone_keys" in query["sql"]:
                cursor.execute("EXPLAIN " + query["sql"])
                found.append("\n".join(line for (line,) in cursor.fetchall()))
    return found


@pytest.mark.parametrize("analyzed", [True, False])
def test_a_cone_is_looked_up_in_the_index(user, item, analyzed):
    fill(user, item)
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {TABLE}")
    mine = make_workstation(user, "mine")
    # The nodes of the 501st to the 1,000th and beyond.
    cone = tuple(f"Sketch{number}" for number in range(5021, 15_021))
    with CaptureQueriesContext(connection) as queries:
        acquired = acquire(mine, item, "mine", cone=cone)
    assert len(acquired.conflicts) == 500
    with CaptureQueriesContext(connection) as more:
        assert len(meetings(acquired.session)) == 500
    for (plan,) in (plans(queries), plans(more)):
        assert "Bitmap Index Scan on edit_session_cone_keys" in plan
        assert "hashed SubPlan" in plan
        # A fourth of all rows is the item's, which may well be read in sequence; a cone is not even then.
        assert f"Seq Scan on {TABLE} u0" not in plan


def test_a_heartbeat_is_a_heap_only_update(held):
    with connection.cursor() as cursor:
        # Pages of its own: those of the tests before are full of rows that were rolled back.
        cursor.execute(f"TRUNCATE {TABLE} CASCADE")
    held("ada's", "A", " ".join(f"n{number}" for number in range(10_000)))
    workstation = EditSession.objects.get().workstation_id
    for _ in range(20):
        assert EditSession.objects.touch_heartbeat([workstation]) == 1
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = %s",
            [TABLE],
        )
        updates, heap_only = cursor.fetchone()
    assert (updates, heap_only) == (20, 20)


@pytest.mark.parametrize("ended", ["one of the list", "one that it meets"])
def test_a_list_outside_of_a_snapshot_outlives_the_end_of_a_session(item, ended):
    """The admin site's: a session may end between any two of its queries."""
    mine, theirs = (
        acquire(make_connected(name), item, name, cone=("n1",)).session for name in "ab"
    )
    listed = list(EditSession.objects.with_names().filter(pk=mine.pk))
    queries = 0

    def end(execute, sql, params, many, context):
        nonlocal queries
        queries += 1
        if queries == (2 if ended == "one of the list" else 5):
            EditSession.objects.filter(pk=(mine if "list" in ended else theirs).pk).delete()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end):
        met = lists.met_in_list(EditSession.objects.all(), listed)
    assert EditSession.objects.count() == 1
    assert not met[mine.pk]
