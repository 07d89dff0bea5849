"""Statements that are compiled once, and several of them in one round trip."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from events_app.database.round_trip import Query, Statement, query_of, rows_of, together
from sessions_app.models import Item
from tests.factories import make_item
from tests.waiting import eventually

BY_KEY = Statement(
    lambda keys: Item.objects.filter(key__any=keys).order_by("key").values_list("pk")
)
DELETING = Statement(lambda ids: Item.objects.filter(pk__any=ids), delete=True)
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
            eventually(_somebody_waits)
            new = make_item("new")
        assert waiting.result() == [[(item.pk,)], [(new.pk,)]]


def _somebody_waits() -> bool:
    # Not pg_stat_activity, which a transaction sees as it was at its first look.
    return bool(rows_of(Query("SELECT 1 FROM pg_locks WHERE NOT granted", [])))
