"""Which event streams are granted, and what they follow."""

import json
import uuid

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory

from events_app.presence import store
from events_app.presence.backend import StreamRefused, StreamRequest
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival
from sessions_app.api.request_schemas import MAX_STREAM_ITEMS
from sessions_app.errors import DomainError
from sessions_app.models import ApiToken, Item
from sessions_app.presence_backend import WorkstationPresence
from sessions_app.roles import Role
from sessions_app.stream_grants import MAX_ITEMS, resolve, resolve_all
from tests.factories import make_item, make_token, make_user, make_workstation

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return make_user("ada", Role.VIEWER)


def request_of(query, *, token=None, user=None, headers=None):
    given = {"Authorization": f"Bearer {token}"} if token else headers or {}
    request = RequestFactory().get("/api/events", query_params=query, headers=given)
    if user:
        request.COOKIES[settings.SESSION_COOKIE_NAME] = login(user)
    return request


def login(user):
    """Log a user in; return the key of the session."""
    client = Client()
    client.force_login(user)
    return client.session.session_key


@pytest.fixture
def ask(ada):
    token = make_token(ada)

    def ask(part_number="", **query):
        return resolve(request_of(query, token=token), part_number)

    return ask


def check_refused(status, ask, *args, **kwargs):
    with pytest.raises(DomainError) as caught:
        ask(*args, **kwargs)
    assert caught.value.status == status
    assert caught.value.message


def test_a_workstations_stream_follows_it_and_its_user_and_keeps_it_alive(ask, ada):
    workstation = make_workstation(ada)
    grant = ask(workstation_id=str(workstation.pk))
    assert grant.channels == {f"workstation:{workstation.pk}", f"user:{ada.pk}"}
    assert grant.key == workstation.pk
    assert (grant.user_id, grant.token_id) == (ada.pk, ApiToken.objects.get().pk)


def test_a_stream_that_only_watches_keeps_nobody_alive(ask, ada):
    item = make_item()
    grant = ask(item=item.part_number)
    assert grant.channels == {f"item:{item.pk}", f"user:{ada.pk}"}
    assert grant.key is None


def test_all_follows_every_item(ask, ada):
    assert ask(all="true").channels == {"all", f"user:{ada.pk}"}


def test_all_of_it_may_be_asked_for_at_once(ask, ada):
    workstation, items = make_workstation(ada), [make_item("A/B 🛠"), make_item("C")]
    names = [item.part_number for item in items]
    grant = ask(workstation_id=str(workstation.pk), item=[*names, "C"], all="true")
    assert grant.channels == {
        "all",
        f"user:{ada.pk}",
        f"workstation:{workstation.pk}",
        *(f"item:{item.pk}" for item in items),
    }


def test_an_items_own_address_follows_that_item_alone(ask, ada):
    item, other = make_item("DIN 912/M5"), make_item("other")
    expected = {f"item:{item.pk}", f"user:{ada.pk}"}
    assert ask(item.part_number).channels == expected
    assert ask(item.part_number, item=other.part_number).channels == expected


def test_it_may_be_a_workstations_stream_too(ask, ada):
    workstation, item = make_workstation(ada), make_item()
    grant = ask(item.part_number, workstation_id=str(workstation.pk))
    assert grant.key == workstation.pk
    assert f"item:{item.pk}" in grant.channels


@pytest.mark.parametrize("query", [{}, {"all": "false"}, {"colour": "red"}, {"last_event_id": "1"}])
def test_a_stream_without_a_subject_is_refused(ask, query):
    check_refused(422, ask, **query)


@pytest.mark.parametrize("text", ["", "maybe", "True", "1", "yes", "true ", "\0"])
def test_a_flag_is_true_or_false(ask, text):
    make_item()
    check_refused(422, ask, "A01-0001", all=text)


@pytest.mark.parametrize(
    "text", ["", "7", "x" * 36, "\0", "3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6", "🛠", "٣" * 33]
)
def test_a_malformed_uuid_is_refused(ask, text):
    check_refused(422, ask, workstation_id=text)


def test_a_client_may_promise_to_acknowledge(ask, ada):
    workstation = str(make_workstation(ada).pk)
    assert ask(workstation_id=workstation, ack="true").ack is True
    assert ask(workstation_id=workstation, ack="false").ack is False
    assert ask(workstation_id=workstation).ack is False
    check_refused(422, ask, workstation_id=workstation, ack="maybe")


def test_a_watching_stream_cannot_acknowledge(ask):
    check_refused(422, ask, all="true", ack="true")


def test_an_unknown_workstation_is_404(ask):
    check_refused(404, ask, workstation_id=str(uuid.uuid4()))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
def test_somebody_elses_workstation_is_403_for_everyone(role):
    bobs = make_workstation(make_user("bob"))
    token = make_token(make_user("carol", role))
    check_refused(403, resolve, request_of({"workstation_id": str(bobs.pk)}, token=token))


def test_an_unknown_item_is_404(ask):
    make_item("A")
    check_refused(404, ask, "nothing")
    check_refused(404, ask, item=["A", "nothing"])


@pytest.mark.parametrize("part_number", ["\0", "a\nb", ".", "..", "A\u200b", "x" * 201, "\ud800"])
def test_a_malformed_part_number_is_refused(ask, part_number):
    check_refused(422, ask, part_number)


@pytest.mark.parametrize("part_number", ["", "\0", "a\nb", "..", "x" * 201])
def test_in_the_query_too(ask, part_number):
    check_refused(422, ask, item=part_number)


def test_a_stream_follows_so_many_items_and_no_more(ask):
    names = [make_item(f"P{number}").part_number for number in range(MAX_ITEMS)]
    assert len(ask(item=[*names, *names]).channels) == MAX_ITEMS + 1
    check_refused(422, ask, item=[*names, "one more"])


def test_a_login_session_may_watch(ada):
    request = request_of({"all": "true"}, user=ada)
    grant = resolve(request)
    assert (grant.user_id, grant.token_id) == (ada.pk, None)
    assert grant.login == request.COOKIES[settings.SESSION_COOKIE_NAME]
    assert grant.login not in repr(grant)


def test_watching_requires_credentials():
    check_refused(401, resolve, request_of({"all": "true"}))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic x", "Bearer \xff"])
def test_a_bad_header_is_refused_beside_a_good_login_too(ada, header):
    request = request_of({"all": "true"}, user=ada, headers={"Authorization": header})
    check_refused(401, resolve, request)


def test_a_revoked_token_is_refused(ask):
    ApiToken.objects.update(revoked_at=ApiToken.objects.get().created_at)
    check_refused(401, ask, all="true")


def test_a_user_without_a_role_is_403():
    token = make_token(make_user("nobody", None))
    check_refused(403, resolve, request_of({"all": "true"}, token=token))


def test_the_stream_is_told_in_its_own_words():
    (refused,) = WorkstationPresence().resolve([StreamRequest(lambda: request_of({}), {})])
    assert isinstance(refused, StreamRefused)
    assert (refused.status, refused.code) == (401, "not_authenticated")


def test_many_are_judged_by_as_many_queries_as_one(ada, django_assert_max_num_queries):
    """Whatever one of them asks for, the others get theirs."""
    bob = make_user("bob")
    workstations = [make_workstation(user) for user in (ada, bob)]
    items = [make_item(f"P{number}") for number in range(20)]
    tokens = [make_token(user) for user in (ada, bob)]
    asked = [
        *(request_of({"item": item.part_number}, token=tokens[0]) for item in items),
        *(request_of({"workstation_id": str(workstations[n % 2].pk)}, token=tokens[0]) for n in (0, 1)),
        request_of({"all": "true"}, user=bob),
        request_of({"all": "true"}),
        request_of({"item": "nothing"}, token=tokens[1]),
    ]  # fmt: skip
    with django_assert_max_num_queries(11):
        verdicts = resolve_all([StreamRequest(lambda one=request: one, {}) for request in asked])
    assert [channels_of(verdict) for verdict in verdicts] == [
        *({f"item:{item.pk}", f"user:{ada.pk}"} for item in items),
        {f"workstation:{workstations[0].pk}", f"user:{ada.pk}"},
        403,
        {"all", f"user:{bob.pk}"},
        401,
        404,
    ]


def channels_of(verdict):
    return verdict.status if isinstance(verdict, DomainError) else verdict.channels


# -- a list in the body of a POST --


def post(body, *, token=None, user=None, csrf=True, content_type="application/json"):
    request = RequestFactory(enforce_csrf_checks=True).post(
        "/api/events",
        body if isinstance(body, str | bytes) else json.dumps(body),
        content_type=content_type,
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    if user:
        request.COOKIES[settings.SESSION_COOKIE_NAME] = login(user)
        if csrf:
            secret = get_token(request)
            request.META["HTTP_X_CSRFTOKEN"] = secret
            request.COOKIES[settings.CSRF_COOKIE_NAME] = request.META["CSRF_COOKIE"]
    return request


def test_a_list_too_long_for_a_request_line_comes_in_a_body(ada):
    items = Item.objects.bulk_create(
        Item(part_number=f"{number:06}" + "x" * 150) for number in range(MAX_STREAM_ITEMS)
    )
    names = [item.part_number for item in items]
    body = {"items": names, "last_event_id": "e-1"}
    grant = resolve(post(body, token=make_token(ada)))
    assert grant.channels == {f"user:{ada.pk}", *(f"item:{item.pk}" for item in items)}
    assert grant.last_event_id == "e-1"
    with pytest.raises(DomainError) as caught:
        resolve(post({"items": [*names, "one more"]}, token=make_token(ada)))
    assert caught.value.status == 422


def test_a_body_may_say_all_that_a_query_may(ada):
    workstation = make_workstation(ada)
    body = {"workstation_id": str(workstation.pk), "ack": True, "all": True}
    grant = resolve(post(body, token=make_token(ada)))
    assert (grant.key, grant.ack) == (workstation.pk, True)
    assert grant.channels == {"all", f"workstation:{workstation.pk}", f"user:{ada.pk}"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        (b"\xff", "invalid_json"),
        ("[]", "invalid"),
        ({}, "invalid"),
        ({"items": []}, "invalid"),
        ({"items": ["\0"]}, "invalid"),
        ({"items": "A"}, "invalid"),
        ({"item": ["A"]}, "invalid"),
        ({"all": "true"}, "invalid"),
        ({"all": True, "ack": True}, "invalid"),
        ({"workstation_id": "7"}, "invalid"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(ada, body, code):
    with pytest.raises(DomainError) as caught:
        resolve(post(body, token=make_token(ada)))
    assert (caught.value.status, caught.value.code) == (422, code)


def test_a_post_of_a_login_session_is_checked_for_where_it_comes_from(ada):
    assert resolve(post({"all": True}, user=ada)).channels == {"all", f"user:{ada.pk}"}
    with pytest.raises(DomainError) as caught:
        resolve(post({"all": True}, user=ada, csrf=False))
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "application/x-www-form-urlencoded; charset=latin-1"]
)
def test_a_form_in_which_no_token_can_be_looked_for_is_refused_as_no_json(ada, content_type):
    request = post("a=b", user=ada, content_type=content_type)
    del request.META["HTTP_X_CSRFTOKEN"]
    with pytest.raises(DomainError) as caught:
        resolve(request)
    assert (caught.value.status, caught.value.code) == (422, "invalid_json")


# -- login sessions --


@pytest.mark.parametrize(
    "end",
    [
        lambda user: Session.objects.all().delete(),
        lambda user: Session.objects.update(expire_date=Now()),
        lambda user: (user.set_password("another horse"), user.save()),
        lambda user: user.delete(),
    ],
    ids=["deleted", "expired", "password", "user"],
)
def test_a_stream_of_a_login_session_ends_with_it(ada, end):
    bob = make_user("bob")
    mine, bobs = (resolve(request_of({"all": "true"}, user=user)) for user in (ada, bob))
    token = resolve(request_of({"all": "true"}, token=make_token(bob)))
    presence = WorkstationPresence()
    assert presence.withdrawn({mine, bobs, token}) == set()
    end(ada)
    assert presence.withdrawn({mine, bobs, token}) >= {mine}
    if Session.objects.filter(expire_date__gt=Now()).count() > 1:
        assert presence.withdrawn({mine, bobs, token}) == {mine}


def test_a_heartbeat_names_the_grants_that_are_withdrawn(ada):
    process, workstation = ProcessIdentity(), make_workstation(ada)
    arrival = Arrival(uuid.uuid4(), workstation.pk)
    store.register(process, [arrival])
    token = make_token(ada)
    grant = resolve(request_of({"workstation_id": str(workstation.pk)}, token=token))
    good = resolve(request_of({"all": "true"}, token=make_token(make_user("bob"))))
    assert store.touch(process, [workstation.pk], [], [grant, good]).withdrawn == set()
    ApiToken.objects.filter(pk=grant.token_id).update(revoked_at=Now())
    assert store.touch(process, [workstation.pk], [], [grant, good]).withdrawn == {grant}


def test_a_logged_out_browser_is_refused(ada):
    request = request_of({"all": "true"}, user=ada)
    Session.objects.all().delete()
    check_refused(401, resolve, request)
