"""What browsers are told to refuse, and that no page needs what they refuse."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client

from sessions_app.roles import Role
from tests.factories import make_user
from tests.integration.admin_site import PAGES, SESSIONS, client_of, one_of_each

pytestmark = pytest.mark.django_db

FOREIGN = {"headers": {"Host": "evil.example"}}
STYLE_SHEET = "/static/admin/css/base.css"
ADDRESSES = [
    ("GET", "/", 302),
    ("GET", "/board/log-in", 200),
    ("POST", "/board/log-in", 403),
    ("GET", "/health", 200),
    ("GET", "/ready", 503),
    ("GET", "/nothing", 404),
    ("BREW", "/health", 405),
    ("GET", "/api/docs", 200),
    ("GET", "/api/openapi.json", 200),
    ("GET", "/api/items", 401),
    ("OPTIONS", "/api/items", 405),
    ("GET", "/api/nothing", 404),
    ("GET", "/admin/login/", 200),
    ("GET", "/admin/", 302),
    ("GET", "/admin/nothing", 302),
    ("POST", "/admin/login/", 403),
    ("GET", STYLE_SHEET, 200),
    ("HEAD", STYLE_SHEET, 200),
    ("GET", "/static/nothing", 404),
]
every_address = pytest.mark.parametrize(("method", "path", "status"), ADDRESSES)


def call(method, path, **kwargs):
    return Client(enforce_csrf_checks=True).generic(method, path, **kwargs)


@every_address
def test_every_answer_says_what_browsers_are_to_refuse(method, path, status):
    answer = call(method, path)
    assert answer.status_code == status
    answer.close()
    told = answer.headers
    policy = dict(part.split(" ", 1) for part in told["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'self'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert told["X-Content-Type-Options"] == "nosniff"
    assert told["X-Frame-Options"] == "DENY"
    assert told["Referrer-Policy"] == "same-origin"
    assert told["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in told


@every_address
def test_a_foreign_host_is_answered_nothing_else(method, path, status):
    answer = call(method, path, **FOREIGN)
    assert answer.status_code == 400
    if method != "HEAD" and not path.startswith(("/admin/", "/board/")):
        assert answer.json()["error"] == "invalid_request"


@pytest.fixture
def root():
    one_of_each()
    return client_of(make_user("root", Role.ADMIN, is_staff=True, is_superuser=True))


class Inline(HTMLParser):
    """What a strict policy refuses on a page, and where the page leads."""

    def __init__(self, page):
        super().__init__()
        self.refused, self.links = [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        is_data = given.get("type") == "application/json"
        if tag == "style" or (tag == "script" and not given.get("src") and not is_data):
            self.refused.append(self.get_starttag_text())
        for name, value in attributes:
            if name == "style" or name.startswith("on") or "javascript:" in (value or ""):
                self.refused.append(self.get_starttag_text())
            if name in {"src", "action", "data"} or (name, tag) == ("href", "link"):
                self.check_own(value)
        if tag == "a" and "href" in given:
            self.links.add(given["href"])

    def check_own(self, address):
        if urlsplit(address or "").netloc:
            self.refused.append(self.get_starttag_text())


def check_page(answer):
    page = answer.content.decode()
    found = Inline(page)
    assert not found.refused, answer.request["PATH_INFO"]
    assert "Content-Security-Policy" in answer.headers
    return found


def test_no_page_of_the_admin_site_has_anything_inline(root):
    """From page to page, each kind of page once."""
    seen, ahead = set(), ["/admin/"]
    while ahead:
        path = ahead.pop()
        kind = re.sub(r"[0-9a-f]{8}-[0-9a-f-]+|\d+", "N", path.partition("?")[0])
        if kind in seen or "logout" in path or not path.startswith(("/admin/", "/board/")):
            continue
        seen.add(kind)
        answer = root.get(path)
        assert answer.status_code == 200, path
        if answer["Content-Type"].startswith("text/html"):
            ahead += [urljoin(path, link).split("#")[0] for link in check_page(answer).links]
    assert {f"/admin/{page.replace('_app_', '_app/')}/" for page in PAGES} <= seen
    assert any(kind.endswith("/history/") for kind in seen)
    assert any(kind.endswith("/delete/") for kind in seen)
    assert any("force-release" in kind for kind in seen)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin/login/", 200),
        ("GET", "/admin/nothing/", 404),
        ("POST", "/admin/logout/", 200),
        ("POST", SESSIONS, 200),
        ("POST", "/admin/auth/user/add/", 200),
    ],
)
def test_errors_and_sent_forms_have_security_headers(root, method, path, status):
    client = Client() if "login" in path else root
    answer = client.generic(method, path)
    assert answer.status_code == status
    check_page(answer)


def test_the_refusal_of_a_forged_form_has_security_headers():
    answer = call("POST", "/admin/login/")
    assert answer.status_code == 403
    check_page(answer)
    assert "reload the page" in answer.content.decode()


def test_the_api_description_has_security_headers():
    check_page(call("GET", "/api/docs"))
