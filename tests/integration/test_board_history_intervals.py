"""The interval that a page of a history shows, and what is read for it."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from board_app import links
from board_app.history import record
from sessions_app.models import EndedSession
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    make_item,
    make_user,
)
from tests.integration.admin_site import client_of, text_of
from tests.integration.board_history import DAY, NOW, addresses, held_now, records, shown

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer():
    return client_of(make_user("vic", Role.VIEWER))


def day(days_ago, hour=12):
    return (NOW - days_ago * DAY).replace(hour=hour, minute=0, second=0, microsecond=0)


def between(first, last):
    """The query of an interval of so many days ago."""
    return f"?from={day(first):%Y-%m-%d}&to={day(last):%Y-%m-%d}"


def test_an_interval_shows_what_was_held_in_it(viewer, ada, item):
    ends = [day(ago) for ago in (9, 8, 7, 6, 5)]
    records(item, ada, ends)
    records(item, ada, [day(4)], object_id="long", lasting=10 * DAY)
    records(item, ada, [day(3)], object_id="early, later", lasting=timedelta(minutes=1))
    address = links.item_page(item.part_number)
    assert shown(viewer.get(address + between(8, 6))) == ["long", "S3", "S2", "S1"]
    assert shown(viewer.get(address + between(20, 15))) == []
    assert "No session was held" in text_of(viewer.get(address + between(20, 15)))
    assert shown(viewer.get(address + "?range=30d")) == [
        "early, later",
        "long",
        "S4",
        "S3",
        "S2",
        "S1",
        "S0",
    ]
    week = viewer.get(address)
    assert "long" in shown(week)
    earlier = week.context["earlier"]
    assert shown(viewer.get(f"{address}?{earlier.query}")) == ["long", "S2", "S1", "S0"]
    assert week.context["later"] is None


def test_all_of_an_interval_is_offered_as_csv(viewer, ada):
    item = make_item("Ä 1/2&3")
    records(item, ada, [day(ago) for ago in (9, 8, 7)])
    for address in (
        links.item_page("Ä 1/2&3"),
        links.user_page("ada"),
        links.workstation_page(ada.pk),
    ):
        answer = viewer.get(address + between(8, 7))
        assert f'href="{escape(answer.context["csv"])}"' in text_of(answer)
        lines = text_of(viewer.get(answer.context["csv"])).splitlines()
        assert [line.split(",")[7] for line in lines[1:]] == ['"S2"', '"S1"']


def test_records_of_a_clock_that_was_wrong_for_a_moment_hide_no_others(viewer, ada, item):
    """Their ids are out of order: one that ended in the far future or past stands among the others."""
    records(item, ada, [NOW + 400 * DAY, day(300)], object_id="wrong clock")
    records(item, ada, [day(8), day(7)])
    address = links.item_page(item.part_number)
    assert shown(viewer.get(address + between(9, 6))) == ["S1", "S0"]
    assert shown(viewer.get(address + "?range=30d"))[:2] == ["S1", "S0"]


def test_what_is_held_is_not_in_an_interval_before_it_began(viewer, held):
    address = addresses(held)[0]
    answer = viewer.get(address + between(8, 6))
    assert shown(answer) == []
    assert held_now(answer) == [held.pk]


@pytest.mark.parametrize("query", ["range=week", "from=1.2.2026", "from=2026-02-01&to=2026-01-01"])
def test_a_wrong_interval_is_said_and_the_usual_one_is_shown(viewer, held, query):
    records(held.item, held.workstation, [NOW - DAY])
    answer = viewer.get(f"{addresses(held)[0]}?{query}")
    assert answer.status_code == 400
    assert 'role="alert"' in text_of(answer)
    assert [row.object_id for row in answer.context["rows"]] == ["Sketch001", "S0"]


def test_days_are_those_of_the_readers_zone(viewer, ada, item):
    records(item, ada, [day(3, 23)], object_id="late", lasting=timedelta(minutes=5))
    address = links.item_page(item.part_number) + between(2, 2)
    assert shown(viewer.get(address)) == []
    viewer.cookies["board_zone"] = "Asia%2FTokyo"
    answer = viewer.get(address)
    assert shown(answer) == ["late"]
    assert "Asia/Tokyo" in text_of(answer)
    assert f"{day(2):%Y-%m-%d} 08:00:00" in text_of(answer)


def test_no_more_rows_than_are_of_use(viewer, ada, item, monkeypatch):
    monkeypatch.setattr(record, "MOST", 5)
    monkeypatch.setattr("board_app.history.rows.MOST", 5)
    records(item, ada, [NOW - DAY + timedelta(minutes=number) for number in range(7)])
    for number in range(7):
        acquire(ada, item, f"held {number}")
    answer = viewer.get(links.item_page(item.part_number))
    assert shown(answer)[-5:] == ["S6", "S5", "S4", "S3", "S2"]
    assert shown(answer)[:5] == [f"held {number}" for number in (6, 5, 4, 3, 2)]
    assert len(held_now(answer)) == 7
    assert "more sessions than are shown" in text_of(answer)


def test_of_what_ended_later_so_many_are_looked_at(viewer, ada, item, monkeypatch):
    monkeypatch.setattr(record, "LOOKED_AT", 3)
    ends = [day(3) + timedelta(minutes=number) for number in range(3)]
    records(item, ada, ends, object_id="short", lasting=timedelta(seconds=1))
    records(item, ada, [day(2)], object_id="long", lasting=10 * DAY)
    answer = viewer.get(links.item_page(item.part_number) + between(8, 6))
    assert shown(answer) == []
    assert "may be missing" in text_of(answer)
    monkeypatch.setattr(record, "LOOKED_AT", 5)
    answer = viewer.get(links.item_page(item.part_number) + between(8, 6))
    assert shown(answer) == ["long"]
    assert "may be missing" not in text_of(answer)


def queries_of(client, address):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def test_the_number_of_queries_does_not_grow(viewer, ada, bob, item):
    client = client_of(ada.user)
    few = make_item("few")
    acquire(bob, few, "other", cone=("n1",))
    acquire(ada, few, cone=("n1",))
    records(few, ada, [day(9), NOW - DAY], lasting=2 * DAY)
    # All of them are on one page: where more are, further queries look for whom they meet.
    for number in range(50):
        acquire(ada, item, f"{number}", cone=("n1",))
        acquire(bob, item, f"bob's {number}", cone=("n1",))
    records(item, ada, [NOW - DAY + timedelta(minutes=number) for number in range(150)])
    records(item, ada, [day(9)] * 60, lasting=2 * DAY)
    for query in ("", between(10, 9)):
        one = len(queries_of(client, links.item_page("few") + query))
        many = len(queries_of(client, links.item_page(item.part_number) + query))
        assert one == many
        assert one < 30
    assert len(queries_of(client, links.user_page("ada"))) < 30
    assert len(queries_of(client, links.workstation_page(ada.pk))) < 30


RECORDS = 20_000


def fill_the_record(ada, items):
    """Put twenty thousand records into sixty days, a tenth of them on each of ten items, of another user but a few."""
    columns = [
        field.column for field in EndedSession._meta.concrete_fields if not field.primary_key
    ]
    own = {
        "session_id": "gen_random_uuid()",
        "item_id": "(%(items)s::uuid[])[1 + n %% 10]",
        "username": "'user' || n %% 50",
        "workstation_id": "md5((n %% 50)::text)::uuid",
        "acquired_at": "now() - (%(count)s - n) * interval '4 min' - interval '1 h'",
        "released_at": "now() - (%(count)s - n) * interval '4 min'",
    }
    [template] = records(items[0], ada, [NOW - 90 * DAY])
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO sessions_app_endedsession ({', '.join(columns)})"
            f" SELECT {', '.join(own.get(name, f'r.{name}') for name in columns)}"
            " FROM sessions_app_endedsession r, generate_series(1, %(count)s) n WHERE r.id = %(row)s",
            {"items": [one.pk for one in items], "count": RECORDS, "row": template.pk},
        )
        cursor.execute("ANALYZE sessions_app_endedsession")


@pytest.mark.parametrize("query", ["", "?range=30d", "early"])
def test_a_large_record_is_read_by_its_indexes_and_not_for_long(viewer, ada, query):
    items = [make_item(f"A-{number}") for number in range(10)]
    fill_the_record(ada, items)
    query = between(40, 38) if query == "early" else query
    for address in (
        links.item_page("A-3"),
        links.user_page("user7"),
        links.workstation_page(EndedSession.objects.latest("pk").workstation_id),
    ):
        plans = []
        for sql in queries_of(viewer, address + query):
            if "sessions_app_endedsession" not in sql:
                continue
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + sql)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
        assert len(plans) >= 2
        for plan in plans:
            assert "Seq Scan" not in plan, plan
            assert "Parallel" not in plan, plan
            # The whole index of the record by its key has more.
            touched = sum(map(int, re.findall(r"Buffers: shared (?:hit|read)=(\d+)", plan)[:1]))
            assert touched < 3 * record.LOOKED_AT, plan
