"""Statements that are compiled once, and several of them in one round trip."""

import importlib
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from events_app.database.round_trip import (
    Query,
    Statement,
    plan_by_index,
    query_of,
    rows_of,
    together,
)
from events_app.presence import store
from sessions_app import presence_backend
from sessions_app.models import Item
from sessions_app.operations import presence
from tests.factories import make_item
from tests.waiting import eventually, waiting_for_locks

BY_KEY = Statement(
    lambda keys: Item.objects.filter(key__any=keys).order_by("key").values_list("pk")
)
INSERT_ITEM = (
    "INSERT INTO sessions_app_item (id, part_number, key, description, item_type)"
    " SELECT gen_random_uuid(), number, number, '', '' FROM (SELECT %s::text AS number) one"
)
PREPARED = Query("SELECT statement FROM pg_prepared_statements", [])
DELETING = Statement(lambda ids: Item.objects.filter(pk__any=ids), delete=True)
# Their statements are run at every acquire and release: one plan for all parameters, right for any number of rows.
HOT_MODULES = [
    "sessions_app.models.item",
    "sessions_app.models.place_in_line",
    "sessions_app.models.session_rows",
    "sessions_app.operations.access",
    "sessions_app.operations.acquire",
    "sessions_app.operations.facts",
    "sessions_app.operations.limits",
    "sessions_app.operations.release",
]
BOTH = Statement(
    lambda keys, ids: Item.objects.filter(pk__any=ids, key__any=keys).values_list("part_number")
)


@pytest.mark.django_db
def test_a_statement_asks_what_its_queryset_asks_with_new_values_each_time():
    one, other = make_item("A-1"), make_item("A-2")
    for keys, expected in ((["a-1"], [one]), (["a-2", "a-1"], [one, other]), ([], [])):
        query = Item.objects.filter(key__in=keys).order_by("key").values_list("pk")
        assert rows_of(BY_KEY(keys)) == list(query) == [(item.pk,) for item in expected]


@pytest.mark.django_db
def test_lists_are_told_apart_whatever_their_order_in_the_statement():
    one = make_item("A-1")
    assert rows_of(BOTH(["a-1"], [one.pk])) == [("A-1",)]
    assert rows_of(BOTH(["a-1"], [uuid.uuid4()])) == []


@pytest.mark.django_db
def test_a_deleting_statement_deletes_just_these():
    one, other = make_item("A-1"), make_item("A-2")
    assert rows_of(DELETING([one.pk])) == []
    assert list(Item.objects.all()) == [other]


@pytest.mark.django_db
def test_a_list_too_few_or_too_many_is_refused():
    for lists in ((), (["a-1"], ["a-2"])):
        with pytest.raises(AssertionError):
            BY_KEY(*lists)


@pytest.mark.django_db
def test_answers_are_those_of_the_queries_in_their_order():
    item = make_item("A-1")
    last = query_of(Item.objects.order_by("-key").values_list("part_number")[:1])
    other = make_item("A-2")
    assert together(BY_KEY(["a-1"]), DELETING([item.pk]), BY_KEY(["a-1"]), last) == [
        [(item.pk,)],
        [],
        [],
        [(other.part_number,)],
    ]


@pytest.mark.django_db(transaction=True)
def test_the_error_of_one_stops_those_behind_it_and_leaves_the_connection_usable():
    item = make_item("A-1")
    twice = Query("INSERT INTO sessions_app_item SELECT * FROM sessions_app_item", [])
    with pytest.raises(IntegrityError), transaction.atomic():
        together(BY_KEY(["a-1"]), twice, DELETING([item.pk]))
    assert rows_of(BY_KEY(["a-1"])) == [(item.pk,)]


@pytest.mark.django_db(transaction=True)
def test_a_parameter_that_cannot_be_sent_leaves_the_connection_usable():
    make_item("A-1")
    with pytest.raises(DataError):
        together(BY_KEY(["a-1"]), BY_KEY(["a\0"]))
    assert len(rows_of(BY_KEY(["a-1"]))) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cast", "value"),
    [
        ("text[]", ["", "a", 'a "b" \\ c', "{d,e}", " NULL ", "NULL", "ä\n"]),
        ("text[]", []),
        ("text[]", ["a", None]),
        ("uuid[]", [uuid.UUID(int=1), uuid.uuid4()]),
        ("bigint[]", [1, -(1 << 63), (1 << 63) - 1]),
        ("numeric[]", [1 << 70]),
        ("uuid", uuid.uuid4()),
        ("text", 'a "b" \\ c'),
        ("text", None),
        ("int", 40_000),
        ("bigint", -(1 << 63)),
        ("numeric", 1 << 70),
        ("bool", True),
        ("float8", 1.5),
    ],
)
def test_a_parameter_arrives_as_it_was_given(cast, value):
    [[arrived]] = rows_of(Query(f"SELECT %s::{cast}", [value]))
    assert arrived == value


@pytest.mark.django_db(transaction=True)
def test_a_commit_goes_with_the_last_statements():
    with transaction.atomic():
        together(Query(INSERT_ITEM, ["A-1"]), commits=True)
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(_in_thread, lambda: len(rows_of(BY_KEY(["A-1"])))).result() == 1
    assert not connection.in_atomic_block
    assert len(rows_of(BY_KEY(["A-1"]))) == 1


@pytest.mark.django_db(transaction=True)
def test_within_another_transaction_nothing_is_committed():
    for savepoint in (True, False):
        with transaction.atomic():
            with transaction.atomic(savepoint=savepoint):
                together(Query(INSERT_ITEM, ["A-1"]), commits=True)
            transaction.set_rollback(True)
        assert rows_of(BY_KEY(["A-1"])) == []


@pytest.mark.django_db(transaction=True)
def test_after_an_error_nothing_is_committed():
    for failing in (
        Query("SELECT 1 / %s::int", [0]),
        # Its foreign key is checked at the commit.
        Query(
            "INSERT INTO sessions_app_formerpartnumber (item_id, part_number, key) VALUES (%s, '', '')",
            [uuid.uuid4()],
        ),
    ):
        with pytest.raises((DataError, IntegrityError)), transaction.atomic():
            together(Query(INSERT_ITEM, ["A-1"]), failing, commits=True)
        assert rows_of(BY_KEY(["A-1"])) == []


@pytest.mark.django_db(transaction=True)
def test_hot_statements_go_through_no_bitmap_which_would_read_deleted_rows_again():
    with transaction.atomic():
        together(BY_KEY(["a-1"]))
        named = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%%\"key\" = ANY%%'"
        name = rows_of(Query(named, []))[-1][0]
        plan = rows_of(Query(f"EXPLAIN EXECUTE {name}('{{}}')", []))
    lines = "\n".join(line for [line] in plan)
    assert "Index Scan using" in lines
    assert "Bitmap" not in lines


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("table", "statement", "scans"),
    [
        ("sessions_app_editsession", presence_backend._TOUCH, 3),
        ("sessions_app_editsession", presence._TOUCH, 3),
        ("events_app_connection", store._ACKNOWLEDGE, 2),
    ],
)
def test_what_locks_and_then_changes_is_right_for_thousands_though_planned_while_there_was_no_row(
    table, statement, scans
):
    """The plan is kept: one that read all rows again for each would take minutes of 10,000."""
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {table}")
    with transaction.atomic():
        query = statement([uuid.uuid4()])
        together(query)
        named = "SELECT name FROM pg_prepared_statements WHERE statement = %s"
        [[name]] = rows_of(Query(named, [query.sql.replace("%s", "$1")]))
        plan = rows_of(Query(f"EXPLAIN EXECUTE {name}('{{}}')", []))
    lines = "\n".join(line for [line] in plan)
    assert "Join" not in lines
    assert "Loop" not in lines
    assert "Filter" not in lines
    assert lines.count("Index Cond") == lines.count("Index Scan") == scans


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_plans_by_index_says_so_once():
    def settings() -> str:
        [[scan]] = rows_of(Query("SELECT current_setting('enable_seqscan')", []))
        return scan

    def planning() -> list[str]:
        plan_by_index()
        with pytest.raises(DataError), transaction.atomic():
            together(BY_KEY(["a-1"]), Query("SELECT 1 / %s::int", [0], is_hot=True))
        return [settings(), *(one for [one] in rows_of(PREPARED))]

    with ThreadPoolExecutor(1) as thread:
        scan, *prepared = thread.submit(_in_thread, planning).result()
    assert scan == "off"
    assert not [one for one in prepared if "set_config" in one]
    assert settings() == "on"


def _in_thread(function):
    """Run something on a connection of its own."""
    try:
        return function()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_prepared_statement_is_prepared_again_when_the_schema_has_changed():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE changing (name varchar(10))")
    asking = Query("SELECT name FROM changing", [], is_hot=True)
    for size in (10, 20, 30):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE changing ALTER name TYPE varchar({size})")
        with transaction.atomic():
            assert rows_of(asking) == []
            assert rows_of(asking) == []


@pytest.mark.django_db(transaction=True)
def test_what_was_prepared_before_an_error_is_not_prepared_again():
    failing = Query("SELECT 1 / %s::int", [0], is_hot=True)
    counts = set()
    for _ in range(3):
        with pytest.raises(DataError), transaction.atomic():
            together(BY_KEY(["a-1"]), failing)
        counts.add(*rows_of(Query("SELECT count(*) FROM pg_prepared_statements", [])))
    assert len(counts) == 1


@pytest.mark.django_db
def test_hot_statements_ask_one_table_each():
    places = [vars(importlib.import_module(name)).values() for name in HOT_MODULES]
    hot = [one for some in places for one in some if isinstance(one, Statement)]
    assert len(hot) >= len(HOT_MODULES)
    with transaction.atomic():
        assert [one._compiled[0] for one in hot if " JOIN " in one._compiled[0]] == []


@pytest.mark.django_db(transaction=True)
def test_a_statement_behind_a_lock_sees_what_was_committed_while_the_lock_waited():
    item = make_item("A-1")
    locking = Statement(lambda ids: Item.objects.filter(pk__any=ids).locking().values_list("pk"))

    def wait_and_read() -> list[list[tuple[uuid.UUID]]]:
        try:
            with transaction.atomic():
                return together(locking([item.pk]), BY_KEY(["new"]))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            rows_of(locking([item.pk]))
            waiting = thread.submit(wait_and_read)
            eventually(waiting_for_locks)
            new = make_item("new")
        assert waiting.result() == [[(item.pk,)], [(new.pk,)]]
