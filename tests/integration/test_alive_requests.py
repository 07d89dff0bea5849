"""Sets of signs of life: what becomes of each, and that none depends on another."""

import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client, RequestFactory

from events_app.models import Connection
from events_app.presence.backend import AliveRequest, Outcome, backend
from sessions_app.models import EditSession, Workstation
from sessions_app.roles import Role
from tests.factories import acquire, connect, events, make_item, make_token, make_user
from tests.factories import make_workstation as make_station

HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def sign_of():
    """Make the sign of life of a workstation, by a token of its user or another one."""

    def make(workstation, stream=None, idle=None, token=None):
        token = token or make_token(workstation.user)
        http = RequestFactory().post("/", headers={"Authorization": f"Bearer {token}"})
        body = {"connection_id": stream and str(stream), "idle_seconds": idle}
        kwargs = {"workstation_id": str(workstation.pk)}
        sign = backend().alive_request(http, kwargs, json.dumps(body).encode())
        assert isinstance(sign, AliveRequest)
        return sign

    return make


def code(verdict):
    return getattr(verdict, "code", verdict)


def alive(*signs, quick=True):
    return [code(verdict) for verdict in backend().alive(signs, quick=quick)]


def acknowledged(stream):
    return Connection.objects.get(pk=stream).acked_at is not None


def end_streams(workstation):
    """End its streams as a stop of their server does."""
    Connection.objects.filter(key=workstation.pk).delete()


def test_each_of_a_set_has_its_own_verdict(sign_of, ada, bob):
    ours, theirs = connect(ada), connect(bob)
    stranger = Workstation(pk=uuid.uuid4(), user=ada.user)
    signs = [
        sign_of(ada, ours),
        sign_of(bob, theirs, token="silo_wrong"),
        sign_of(bob, theirs, token=make_token(ada.user)),
        sign_of(ada, theirs),
        sign_of(ada, uuid.uuid4()),
        sign_of(stranger, uuid.uuid4()),
    ]
    assert alive(*signs) == [
        None,
        "not_authenticated",
        "forbidden",
        "not_connected",
        "not_connected",
        "not_found",
    ]
    assert (acknowledged(ours), acknowledged(theirs)) == (True, False)


@pytest.mark.parametrize("quick", [True, False])
def test_a_set_of_any_size_takes_as_many_queries(
    sign_of, ada, quick, django_assert_max_num_queries
):
    item, token = make_item(), make_token(ada.user)
    stations = [make_station(ada.user, f"cad-{n}") for n in range(30)]
    for number, one in enumerate(stations):
        acquire(one, item, str(number))
    signs = [sign_of(one, connect(one), 60, token) for one in stations]
    with django_assert_max_num_queries(30):
        verdicts = alive(*signs, quick=quick)
    assert verdicts == [Outcome.NOTIFIES if quick else None] * 30
    assert len([kind for kind, _, _ in events() if kind == "edit.session_idle"]) == (
        0 if quick else 30
    )


def test_an_acknowledgement_touches_only_what_its_heartbeat_has_not(sign_of, ada, item):
    stream = connect(ada)
    acquire(ada, item)
    before = EditSession.objects.get().last_heartbeat
    assert alive(sign_of(ada, stream)) == [None]
    assert EditSession.objects.get().last_heartbeat == before
    for hours in (-1, 1):  # long ago, or by a clock that has gone back
        EditSession.objects.update(last_heartbeat=Now() + hours * HOUR)
        assert alive(sign_of(ada, stream)) == [None]
        assert EditSession.objects.filter(last_heartbeat__lte=Now()).count() == 1
        assert not EditSession.objects.filter(last_heartbeat__lt=Now() - HOUR / 2).exists()


def test_a_sign_for_all_streams_is_quick_where_there_is_one(sign_of, ada, bob, item):
    """Its heartbeat keeps the sessions alive; without a stream they have nothing but this."""
    streams = connect(ada), connect(ada)
    acquire(ada, item)
    acquire(bob, item, "another")
    end_streams(bob)
    EditSession.objects.update(last_heartbeat=Now() - HOUR)
    assert alive(sign_of(ada), sign_of(bob)) == [None, Outcome.SLOW]
    assert all(acknowledged(stream) for stream in streams)
    fresh = EditSession.objects.filter(last_heartbeat__gt=Now() - HOUR / 2)
    assert [session.workstation_id for session in fresh] == [ada.pk]
    touched = EditSession.objects.get(workstation=ada).last_heartbeat
    assert alive(sign_of(ada)) == [None]
    assert EditSession.objects.get(workstation=ada).last_heartbeat == touched


def test_without_a_stream_every_sign_touches_all_sessions(sign_of, ada, item):
    acquire(ada, item)
    end_streams(ada)
    before = EditSession.objects.get().last_heartbeat
    assert alive(sign_of(ada)) == [Outcome.SLOW]
    assert alive(sign_of(ada), quick=False) == [None]
    assert EditSession.objects.get().last_heartbeat > before


def test_a_slow_sign_of_life_is_left_to_the_usual_way(sign_of, ada, bob, item):
    acquire(ada, item)
    end_streams(ada)
    stream = connect(bob)
    Workstation.objects.filter(pk=bob.pk).update(away_since=Now(), departed_at=Now())
    signs = [sign_of(ada), sign_of(bob, stream)]
    assert alive(*signs) == [Outcome.SLOW] * 2
    assert not acknowledged(stream)
    assert alive(*signs, quick=False) == [None] * 2
    assert acknowledged(stream)
    assert not Workstation.objects.filter(departed_at__isnull=False).exists()


def test_news_is_left_and_told_later_though_the_client_is_noted_at_once(sign_of, ada, item):
    acquire(ada, item)
    stream = connect(ada)
    sign = sign_of(ada, stream, 60)
    assert alive(sign) == [Outcome.NOTIFIES]
    assert acknowledged(stream)
    Connection.objects.update(acked_at=None)
    noted = AliveRequest(sign.http, sign.key, stream, sign.said, noted=True)
    assert alive(noted, quick=False) == [None]
    assert not acknowledged(stream), "it was noted before, and the next question stands"
    assert [kind for kind, _, _ in events()][-1] == "edit.session_idle"
    assert alive(sign) == [None], "the same again is no news"


def test_the_last_sign_of_a_workstation_counts(sign_of, ada, item):
    acquire(ada, item)
    stream = connect(ada)
    signs = [sign_of(ada, stream, idle) for idle in (60, 0, 120)]
    told = len(events())
    assert alive(*signs, quick=False) == [None] * 3
    assert [kind for kind, _, _ in events()[told:]] == ["edit.session_idle"]
    now = Workstation.objects.annotate(now=Now()).get(pk=ada.pk)
    assert (now.now - now.idle_since).total_seconds() == pytest.approx(120, abs=5)


def test_a_viewers_alive_request_counts_for_nothing(sign_of, ada):
    stream = connect(ada)
    token = make_token(ada.user, Role.VIEWER)
    assert alive(sign_of(ada, stream, 60, token)) == [Outcome.IGNORED]
    assert not acknowledged(stream)


def test_a_log_in_needs_its_csrf_token(ada):
    browser = Client()
    browser.force_login(ada.user)
    http = RequestFactory().post("/")
    http.COOKIES.update({name: one.value for name, one in browser.cookies.items()})
    stream = connect(ada)
    assert alive(AliveRequest(http, ada.pk, stream)) == ["forbidden"]
    http._dont_enforce_csrf_checks = True
    assert alive(AliveRequest(http, ada.pk, stream)) == [None]


@pytest.mark.parametrize(
    ("body", "workstation"),
    [(b"{", None), (b"null", None), (b'{"idle_seconds": -1}', None), (b"{}", "none")],
)
def test_a_malformed_sign_of_life_is_not_taken_for_one(body, workstation):
    kwargs = {"workstation_id": workstation or str(uuid.uuid4())}
    assert backend().alive_request(RequestFactory().post("/"), kwargs, body) is None


def test_a_body_may_be_missing():
    pk = uuid.uuid4()
    sign = backend().alive_request(RequestFactory().post("/"), {"workstation_id": str(pk)}, b"")
    assert (sign.key, sign.connection_id, sign.said) == (pk, None, None)


@pytest.mark.django_db(transaction=True)
def test_a_locked_workstation_delays_only_its_own_acknowledgement(sign_of):
    ada, bob = (make_station(make_user(name), name) for name in ("ada", "bob"))
    signs = [sign_of(ada, connect(ada)), sign_of(bob, connect(bob))]
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT 1 FROM sessions_app_workstation WHERE id = %s FOR NO KEY UPDATE", [ada.pk]
            )
            assert alive(*signs) == [Outcome.LOCKED, None]
            cursor.execute("ROLLBACK")
        assert alive(*signs) == [None, None]
    finally:
        other.close()


@pytest.mark.django_db(transaction=True)
def test_a_locked_session_delays_no_acknowledgement(sign_of):
    ada = make_station(make_user(), "ada")
    session = acquire(ada, make_item()).session
    EditSession.objects.update(last_heartbeat=F("last_heartbeat") - HOUR)
    sign = sign_of(ada, connect(ada))
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT 1 FROM sessions_app_editsession WHERE id = %s FOR UPDATE", [session.pk]
            )
            assert alive(sign) == [None]
            cursor.execute("ROLLBACK")
    finally:
        other.close()
