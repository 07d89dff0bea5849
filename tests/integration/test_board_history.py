"""The pages of items, workstations and users."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from board_app import links
from board_app.history import record
from sessions_app import operations
from sessions_app.models import EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    let_go,
    make_item,
    make_user,
    make_workstation,
    stand,
)
from tests.integration.admin_site import client_of, text_of

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def viewer():
    return client_of(make_user("vic", Role.VIEWER))


def records(item, workstation, ends, **more):
    """Make a record of a session of an hour for each of these times of its end."""
    user = workstation.user
    rows = [
        EndedSession(
            item_id=item.pk,
            part_number=item.part_number,
            user_id=user.pk,
            username=user.get_username(),
            user_name=more.get("user_name", ""),
            workstation_id=workstation.pk,
            workstation_name=workstation.name,
            context_level="sketch",
            object_id=more.get("object_id", f"S{number}"),
            fencing_token=number,
            acquired_at=end - more.get("lasting", timedelta(hours=1)),
            last_heartbeat=end,
            released_at=end,
            reason=more.get("reason", "released"),
        )
        for number, end in enumerate(ends)
    ]
    return EndedSession.objects.bulk_create(rows)


def addresses(held):
    return [
        links.item_page(held.item.part_number),
        links.workstation_page(held.workstation_id),
        links.user_page(held.user.get_username()),
    ]


def shown(answer):
    """The objects in the table of an answer."""
    assert answer.status_code == 200, answer.content
    return [row.object_id for row in answer.context["rows"]]


def drawn(answer):
    return [bar.key for lane in answer.context["layout"].lanes for bar in lane.bars]


@pytest.mark.parametrize("role", [*Role, None, "nobody"])
def test_they_are_for_everybody_with_a_role(held, role):
    client = Client() if role == "nobody" else client_of(make_user("you", role))
    for address in addresses(held):
        answer = client.get(address)
        if role == "nobody":
            assert answer.status_code == 302
            assert answer["Location"].startswith(f"/board/log-in?next={quote(address, safe='/')}")
        else:
            assert answer.status_code == (403 if role is None else 200)
        assert ("Sketch001" in text_of(answer)) == (role not in {None, "nobody"})


def test_nothing_is_written_by_them(held, viewer):
    for address in addresses(held):
        assert viewer.post(address).status_code == 405


def test_each_shows_what_is_held_waited_for_and_was_held(viewer, ada, bob, item, held):
    EditSession.objects.update(acquired_at=NOW - timedelta(hours=2))
    was = acquire(ada, item, "Pad").session
    operations.release.force_release(was.pk, by="root", note="left for the day")
    stand(bob, item, "Sketch001", "partdesign")
    for address in addresses(held):
        answer = viewer.get(address)
        assert shown(answer) == ["Sketch001", "Pad"]
        assert set(drawn(answer)) == {f"s-{held.pk}", f"s-{was.pk}"}
        assert [row.session_id for row in answer.context["held"]] == [held.pk]
        text = text_of(answer)
        for key in drawn(answer):
            assert f'href="#{key}"' in text
            assert f'<tr id="{key}"' in text
        assert "left for the day" in text
        assert f'href="{links.user_page("root")}"' in text
        for other in addresses(held):
            assert f'href="{other}"' in text or other == address
    [place] = viewer.get(addresses(held)[0]).context["places"]
    assert (place.workstation, place.position) == (bob, 1)
    [place] = viewer.get(links.user_page("bob")).context["places"]
    assert (place.item, place.position) == (item, 1)
    assert viewer.get(links.workstation_page(bob.pk)).context["places"] == [place]


def test_the_board_shows_the_same_live(viewer, held, bob):
    acquire(bob, make_item("B"))
    for address in (links.item_page(held.item.part_number), links.user_page("ada")):
        [query] = re.findall(r'href="(/\?[^"]*)">see it live', text_of(viewer.get(address)))
        rows = viewer.get(unescape(query)).context["page"].rows
        assert [row.session for row in rows] == [held]


def test_of_several_in_line_each_has_its_position(viewer, held, bob, carol):
    for workstation in (bob, carol):
        stand(workstation, held.item, "Sketch001", "partdesign")
    places = viewer.get(addresses(held)[0]).context["places"]
    assert [(place.workstation, place.position) for place in places] == [(bob, 1), (carol, 2)]
    [place] = viewer.get(links.user_page("carol")).context["places"]
    assert place.position == 2


def test_both_sides_of_a_soft_interference_say_so(viewer, held, bob):
    other = acquire(bob, held.item, "Pad", cone=("n1",)).session
    for mine, met in ((held, other), (other, held)):
        text = text_of(viewer.get(links.workstation_page(mine.workstation_id)))
        assert f"interferes softly with {met.user.username}" in text


@pytest.mark.parametrize(
    "number", ["DIN 912/M5", "Hülle ä/ö?#&%2F+;:@", "a/../b", "B<b>old</b>'\"", "x/", "100 %"]
)
def test_a_part_number_of_any_kind_has_a_page(viewer, ada, number):
    held = acquire(ada, make_item(number)).session
    answer = viewer.get(links.item_page(number))
    assert [row.session_id for row in answer.context["held"]] == [held.pk]
    text = text_of(answer)
    assert "<b>old" not in text
    assert f'href="{links.item_page(number)}"' in text_of(viewer.get(links.user_page("ada")))


def test_every_name_is_escaped(viewer):
    nasty = "<script>alert(1)</script>"
    user = make_user("ada", first_name=nasty, last_name='"><b>')
    workstation = make_workstation(user, f"{nasty}'s")
    held = acquire(workstation, make_item(nasty), nasty).session
    was = acquire(workstation, make_item("A"), nasty).session
    operations.release.force_release(was.pk, by="root", note=nasty)
    for address in addresses(held):
        text = text_of(viewer.get(address))
        assert "<script>alert" not in text
        assert "<b>" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_no_style_and_no_script_is_in_them(viewer, held):
    records(held.item, held.workstation, [NOW - DAY], reason="expired")
    for address in addresses(held):
        answer = viewer.get(address)
        assert not re.search(r"\sstyle=|<style|<script>|\son[a-z]+=", text_of(answer))
        assert "unsafe" not in answer["Content-Security-Policy"]


def test_another_spelling_and_a_former_number_lead_to_the_item(viewer, ada):
    item = make_item("A01-0001")
    acquire(ada, item)
    operations.items.rename("A01-0001", "B 02/1")
    for number in ("A01-0001", "a01-0001", "b  02/1", " B 02/1"):
        answer = viewer.get(links.item_page(number) + "?range=30d")
        assert answer.status_code == 302
        assert answer["Location"] == "/items/B%2002%2F1?range=30d"
    answer = viewer.get("/items/B%2002%2F1")
    assert "A01-0001" in text_of(answer)
    assert answer.context["held"][0].part_number == "B 02/1"


def test_a_merged_item_has_the_record_of_both(viewer, ada):
    first, second = make_item("A-1"), make_item("A-2")
    for item in (first, second):
        let_go(acquire(ada, item, item.part_number).session.pk)
    operations.merge.merge(second.pk, {first.pk})
    answer = viewer.get(links.item_page("A-1"), follow=True)
    assert sorted(shown(answer)) == ["A-1", "A-2"]
    assert answer.redirect_chain == [("/items/A-2", 302)]


def test_what_was_deleted_has_a_page_from_the_record(viewer):
    item, workstation = make_item(), make_workstation(make_user("gone"))
    [was] = records(item, workstation, [NOW - DAY], user_name="Long Gone")
    user = workstation.user
    workstation.delete()
    user.delete()
    item.delete()
    for address in (
        links.item_page(was.part_number),
        links.workstation_page(was.workstation_id),
        links.user_page(was.username),
    ):
        answer = viewer.get(address)
        assert shown(answer) == ["S0"]
        assert "Long Gone" in text_of(answer)
        assert "deleted" in text_of(answer) or "not there any more" in text_of(answer)


def test_what_is_not_there_is_said_with_what_may_be_meant(viewer):
    make_item("A01-0002")
    answer = viewer.get("/items/A01-000X")
    assert answer.status_code == 404
    assert "There is no item A01-000X" in text_of(answer)
    assert 'href="/items/A01-0002"' in text_of(answer)
    for address in ("/workstations/nothing", f"/workstations/{uuid.uuid4()}", "/users/nobody"):
        answer = viewer.get(address)
        assert answer.status_code == 404
        assert 'href="/"' in text_of(answer)
        assert "<h1>There is no such" in text_of(answer)
    for address in ("/items/a%00b", "/users/a%00b", "/items/.%E2%80%8B."):
        assert viewer.get(address).status_code == 404


def test_others_see_of_a_workstation_and_a_user_what_the_api_shows(viewer, ada, item):
    addresses_of_ada = [links.workstation_page(ada.pk), links.user_page("ada")]
    assert {viewer.get(one).status_code for one in addresses_of_ada} == {404}
    for client in (client_of(ada.user), client_of(make_user("boss", Role.ADMIN))):
        own = [client.get(one) for one in addresses_of_ada]
        assert {one.status_code for one in own} == {200}
        assert "connected now" in text_of(own[0])
        assert [one["name"] for one in own[1].context["workstations"]] == [ada.name]
    let_go(acquire(ada, item).session.pk)
    for one in addresses_of_ada:
        answer = viewer.get(one)
        assert shown(answer) == [""]
        assert "Last seen" not in text_of(answer)
        assert "last seen" not in text_of(answer)
        assert ada.fingerprint not in text_of(answer)


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
    assert [row.session_id for row in answer.context["held"]] == [held.pk]


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
    assert len(answer.context["held"]) == 5
    assert text_of(answer).count("there are more") == 1
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
    for number in range(100):
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
