"""What a stream looks like on the wire, who may read it by a POST, and that it ends with its login."""

import json
import re
import time

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import Client as Browser

from events_app import timings
from events_app.log import sse
from sessions_app.models import EditSession, Item
from tests.factories import make_item, make_user, make_workstation
from tests.waiting import PATIENCE_SECONDS, eventually

SESSIONS = 400
SAFETY = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "X-Frame-Options",
)


def opening(client, method="GET", **query):
    """Open a stream; return its headers and its text up to the first heartbeat."""
    headers = {"Authorization": f"Bearer {client.token}"}
    url = f"{client.server.url}/api/events"
    text = b""
    with httpx.stream(method, url, headers=headers, timeout=PATIENCE_SECONDS, **query) as answer:
        for part in answer.iter_bytes():
            text += part
            if b"event: heartbeat\n" in text:
                return answer.headers, text
    raise AssertionError(text)


def test_no_line_is_long_however_much_a_workstation_holds(serve, client_of):
    ada = client_of(serve())
    user = get_user_model().objects.get()
    workstation = make_workstation(user)
    items = Item.objects.bulk_create(Item(part_number=f"N-{n}, größe") for n in range(SESSIONS))
    EditSession.objects.bulk_create(
        EditSession(item=item, workstation=workstation, user=user, context_level="sketch")
        for item in items
    )
    opened = ada.stream(workstation_id=workstation.pk).event("stream-open")
    assert len(opened["data"]["sessions"]) == SESSIONS
    _, text = opening(ada, params={"workstation_id": str(workstation.pk)})
    assert len(text) > 2 * sse.MAX_LINE_BYTES
    assert max(map(len, text.split(b"\n"))) < sse.MAX_LINE_BYTES


def test_a_stream_says_when_to_come_back_and_that_nobody_may_change_it(serve, client_of):
    ada = client_of(serve())
    least, most = (1000 * seconds for seconds in timings.RETRY_SECONDS)
    told = set()
    for _ in range(5):
        headers, text = opening(ada, params={"all": "true"})
        assert "no-transform" in headers["Cache-Control"].split(", ")
        told.add(int(re.match(rb"retry: (\d+)\n", text)[1]))
    assert all(least <= retry <= most for retry in told)
    assert len(told) > 1


def test_many_items_with_long_names_are_watched_by_a_post(serve, client_of):
    ada = client_of(serve())
    items = [make_item(f"{number:03}" + "ü" * 190).part_number for number in range(300)]
    headers, text = opening(ada, "POST", json={"items": items})
    assert headers["Content-Type"].startswith("text/event-stream")
    assert text.count(b"event: stream-open") == 1
    refused = ada.call("POST", "/api/events", {"items": ["nothing"]})
    assert (refused.status_code, refused.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize("fate", ["logout", "password", "session"])
def test_a_stream_ends_with_the_login_that_opened_it(serve, part, fate):
    """Wherever that ends, and long before the next heartbeat."""
    slow = {"SILO_HEARTBEAT_SECONDS": "30", "SILO_SESSION_TIMEOUT_MINUTES": "15"}
    server, elsewhere = serve(**slow), serve(**slow)
    ada = make_user("ada", is_staff=True)
    browser = Browser()
    browser.login(username="ada", password="correct horse")
    cookies = {"sessionid": browser.session.session_key}
    url = f"{server.url}/api/events?all=true"
    with httpx.stream("GET", url, cookies=cookies, timeout=PATIENCE_SECONDS) as answer:
        text = answer.iter_text()
        assert "stream-open" in next(text)
        if fate == "logout":
            log_out(elsewhere, cookies)
        elif fate == "password":
            ada.set_password("battery staple")
            ada.save()
        else:
            Session.objects.all().delete()
        ended = time.monotonic()
        for _ in text:
            pass  # to its end
    # A beat is half a second here.
    assert time.monotonic() - ended < 10
    eventually(lambda: server.sse_clients() == 0)
    assert cookies["sessionid"] not in server.output
    assert httpx.get(url, cookies=cookies).status_code == 401


def log_out(server, cookies):
    """Log out as a browser does, at another server than the one that has the stream."""
    cookies = cookies | {"csrftoken": "a" * 32}
    sent = {"csrfmiddlewaretoken": "a" * 32}
    assert httpx.post(f"{server.url}/admin/logout/", data=sent, cookies=cookies).status_code == 200
    assert not Session.objects.exists()


def test_a_refused_stream_is_answered_in_the_envelope(serve, client_of):
    answer = client_of(serve()).call("POST", "/api/events", {"nothing": 1})
    assert (answer.status_code, json.loads(answer.content)["error"]) == (422, "invalid")


def test_browsers_are_told_the_same_as_by_django_and_a_foreign_host_nothing(serve, client_of, part):
    """Also what a proxy with HTTPS is for: that browsers come back by HTTPS only."""
    ada = client_of(serve(SILO_HTTPS="true"))
    sent = {"Authorization": f"Bearer {ada.token}", "X-Forwarded-Proto": "https"}
    foreign, styles = {"Host": "evil.example"}, "/static/admin/css/base.css"
    told = set()
    for path in ("/api/events?all=true", "/api/items/A/events", "/api/events", "/health", styles):
        for method in ("HEAD", "OPTIONS", "POST"):
            url = ada.server.url + path
            answer = httpx.request(method, url, headers=sent)
            told |= {tuple(answer.headers.get(name, "missing") for name in SAFETY)}
            assert httpx.request(method, url, headers=foreign).status_code == 400
    [(policy, transport, sniff, referrer, frame)] = told
    assert "frame-ancestors 'none'" in policy
    assert transport == "max-age=31536000"
    assert (sniff, referrer, frame) == ("nosniff", "same-origin", "DENY")
