"""`GET /api/edit-sessions/history`."""

import csv
import hashlib
import json
import uuid
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from django.db import connection

from sessions_app import operations
from sessions_app.models import EndedSession
from sessions_app.roles import Role
from tests.factories import Api, acquire, api_of, let_go, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db

FIELDS = {
    "session_id",
    "item_id",
    "part_number",
    "user",
    "user_name",
    "workstation",
    "context_level",
    "object_id",
    "fencing_token",
    "acquired_at",
    "last_heartbeat",
    "released_at",
    "reason",
    "ended_by",
    "note",
    "session_note",
}


@pytest.fixture
def scene():
    """Five ended sessions: four of ada's, one of bob's ended by force."""
    ada, bob = make_user("ada"), make_user("bob")
    first, second = make_item("A-1"), make_item("A-2")
    here, there = make_workstation(ada), make_workstation(bob, "=HYPERLINK(1)")
    for number in range(4):
        session = acquire(here, first, str(number)).session
        let_go(session.pk)
    forced = acquire(there, second).session
    operations.release.force_release(forced.pk, by="root", note="left for the day")
    return api_of(make_user("vic", Role.VIEWER)), here, there


def get(api, **query):
    answer = api("GET", f"/api/edit-sessions/history?{urlencode(query)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_latest_comes_first_with_all_that_is_kept(scene):
    api, _, there = scene
    latest = get(api)["history"][0]
    assert latest.keys() == FIELDS
    assert latest["reason"] == "force_released"
    assert (latest["ended_by"], latest["note"]) == ("root", "left for the day")
    assert latest["workstation"] == {"id": str(there.pk), "name": there.name}


def test_pages_have_no_gaps_and_nothing_twice(scene):
    api, *_ = scene
    seen, before = [], None
    while True:
        page = get(api, limit=2, **({"before": before} if before else {}))
        seen += [entry["session_id"] for entry in page["history"]]
        if (before := page["next"]) is None:
            break
    assert seen == [str(pk) for pk in EndedSession.objects.values_list("session_id", flat=True)]
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"item": "A-1"}, 4),
        ({"item": "A-2"}, 1),
        ({"item": "A-3"}, 0),
        ({"user": "bob"}, 1),
        ({"user": "bob", "item": "A-1"}, 0),
        ({"reason": "released"}, 4),
        ({"reason": "expired"}, 0),
        ({"since": "2020-01-01T00:00:00Z"}, 5),
        ({"until": "2020-01-01T00:00:00Z"}, 0),
        ({"since": "2020-01-01T00:00:00-18:13"}, 5),
        ({"until": "2020-01-01T00:00:00+23:59"}, 0),
        ({"since": "2020-01-01T00:00:00Z", "until": "2120-01-01T00:00:00+02:00"}, 5),
    ],
)
def test_filters(scene, query, count):
    api, *_ = scene
    assert len(get(api, **query)["history"]) == count


def test_by_workstation(scene):
    api, here, _ = scene
    assert len(get(api, workstation=here.pk)["history"]) == 4


def test_a_time_is_a_boundary(scene):
    api, *_ = scene
    moment = EndedSession.objects.earliest("pk").released_at
    assert len(get(api, since=moment.isoformat())["history"]) == 5
    assert len(get(api, until=moment.isoformat())["history"]) == 0


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2020-01-01T00:00:00+02:00", 5),
        ("2020-01-01T00:00:00.5+0200", 5),
        ("2120-01-01+00:00:00+02:00", 0),
    ],
)
def test_a_plus_that_is_not_encoded_is_understood_in_a_time(scene, since, count):
    api, *_ = scene
    answer = api("GET", f"/api/edit-sessions/history?since={since}")
    assert answer.status_code == 200
    assert len(answer.json()["history"]) == count


@pytest.mark.parametrize(
    "query",
    [
        {"reason": "bored"},
        {"workstation": "x"},
        {"since": "yesterday"},
        {"since": "2020-01-01T00:00:00"},
        {"since": "2020"},
        {"since": "2020-01-01 02:00"},
        {"since": "2020-01-01T00:00:00 200"},
        {"until": "0.5"},
        {"since": "0001-01-01T00:00:00+01:00"},
        {"until": "9999-12-31T23:59:59-01:00"},
        {"limit": 0},
        {"limit": 1001},
        {"before": -1},
        {"before": 2**63},
        {"format": "xml"},
        {"user": "\x00"},
    ],
)
def test_malformed_parameters_are_refused(scene, query):
    api, *_ = scene
    answer = api("GET", f"/api/edit-sessions/history?{urlencode(query)}")
    assert answer.status_code == 422


def csv_of(answer):
    text = answer.content.decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(text.removeprefix("\ufeff").splitlines()))


def test_csv_says_the_same_and_nothing_that_a_spreadsheet_executes(scene):
    api, *_ = scene
    answer = api("GET", "/api/edit-sessions/history?format=csv&limit=3")
    assert answer["Content-Type"].startswith("text/csv")
    rows = csv_of(answer)
    assert len(rows) == 3
    assert rows[0]["workstation_name"] == "'=HYPERLINK(1)"
    assert rows[0]["note"] == "left for the day"
    following = api("GET", f"/api/edit-sessions/history?format=csv&before={answer['X-Next']}")
    assert len(csv_of(following)) == 2
    assert "X-Next" not in following


def test_the_history_is_for_those_with_a_role():
    assert Api()("GET", "/api/edit-sessions/history").status_code == 401


def pages_read(records) -> int:
    """How many pages of the database a query touches."""
    (plan,) = json.loads(records.explain(analyze=True, buffers=True, format="json"))
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


RECORDS = 20_000
# What the first record's successors have of their own.
OWN_OF_EACH = {
    "session_id": "gen_random_uuid()",
    "item_id": "gen_random_uuid()",
    "part_number": "%(salt)s || '-' || n %% %(different)s",
    "username": "%(salt)s || '-' || n %% %(different)s",
    "workstation_id": "md5(%(salt)s || '-' || n %% %(different)s)::uuid",
    "fencing_token": "n",
    "released_at": "released_at + n * interval '1 s'",
}


def repeated(model, own):
    """Return the statement that repeats the only row of a table: made as models, so many rows would take seconds."""
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    values = [own.get(column, column) for column in columns]
    return (
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {', '.join(values)}"
        f" FROM {model._meta.db_table}, generate_series(1, {RECORDS - 1}) n"
    )


@pytest.fixture
def large_record():
    """Twenty thousand ended sessions, of ten or of a thousand different items, users and workstations."""

    def make(different: int) -> EndedSession:
        # Names of its own: what was rolled back by another test is still in the indexes.
        salt, now = uuid.uuid4().hex, datetime.now(UTC)
        EndedSession.objects.create(
            item_id=uuid.uuid4(),
            part_number=f"{salt}-0",
            user_id=1,
            username=f"{salt}-0",
            workstation_id=uuid.UUID(hashlib.md5(f"{salt}-0".encode()).hexdigest()),
            workstation_name="w",
            context_level="sketch",
            fencing_token=0,
            acquired_at=now,
            last_heartbeat=now,
            released_at=now,
            reason="released",
        )
        with connection.cursor() as cursor:
            cursor.execute(
                repeated(EndedSession, OWN_OF_EACH), {"different": different, "salt": salt}
            )
            cursor.execute("ANALYZE sessions_app_endedsession")
        return EndedSession.objects.earliest("pk")

    return make


@pytest.mark.parametrize("different", [10, 1000])
def test_a_deep_page_costs_no_more_than_the_first(large_record, different):
    oldest = large_record(different)
    for column in ("part_number", "username", "workstation_id"):
        records = EndedSession.objects.filter(**{column: getattr(oldest, column)})
        first = pages_read(records.before(None)[:5])
        deep = pages_read(records.before(oldest.pk + 2000)[:5])
        assert deep <= 2 * first + 10, column
        assert first < 300, f"it reads a part of the table that grows with it: {column}"
