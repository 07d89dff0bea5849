"""Wrong tokens and passwords are slowed down and logged, and keep nobody else out."""

import logging
import re
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from sessions_app import wrong_credentials
from sessions_app.models import ApiToken
from sessions_app.stream_grants import resolve
from silo.log_format import FieldsFormatter, JsonFormatter
from tests.factories import A_SENTENCE, Api, make_token, make_user

pytestmark = pytest.mark.django_db

TOKENS, LOG_INS, OF_ADDRESS = 20, 10, 50
WRONG = "silo_" + "x" * 43
PASSWORD, HERE, ELSEWHERE = "correct horse", "192.0.2.1", "198.51.100.7"
OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"


def ask(token, address=HERE):
    return Api(token)("GET", "/api/items", REMOTE_ADDR=address)


def log_in(name="boss", password="wrong", address=HERE):
    sent = {"username": name, "password": password}
    return Client().post("/admin/login/?next=/admin/", sent, REMOTE_ADDR=address)


@pytest.fixture
def boss():
    return make_user("boss", is_staff=True)


def test_wrong_tokens_wait_after_so_many_and_good_ones_never():
    good = make_token(make_user())
    assert [ask(WRONG).status_code for _ in range(TOKENS)] == [401] * TOKENS
    answer = ask(WRONG)
    assert answer.status_code == 429
    assert answer.json() == {"error": "too_many_wrong_tokens", "message": A_SENTENCE}
    assert 1 <= int(answer["Retry-After"]) <= 3
    assert ask(good).status_code == 200
    assert ask(WRONG, ELSEWHERE).status_code == 401
    # Without a token nobody has tried one.
    assert ask(None).status_code == 401


def test_so_do_those_of_streams():
    request = RequestFactory().get(
        "/api/events?all=true", headers={"Authorization": f"Bearer {WRONG}"}
    )

    def status():
        with pytest.raises(Exception, match="token") as caught:
            resolve(request)
        return caught.value.status

    assert [status() for _ in range(TOKENS + 1)] == [401] * TOKENS + [429]


def test_a_malformed_token_is_not_looked_up():
    with CaptureQueriesContext(connection) as queries:
        assert ask("hunter2").status_code == 401
    assert len(queries) == 0


def test_wrong_passwords_are_delayed_with_a_message_and_not_checked(boss, monkeypatch):
    assert [log_in().status_code for _ in range(LOG_INS)] == [200] * LOG_INS
    looked = []
    monkeypatch.setattr(
        "django.contrib.auth.forms.authenticate", lambda *args, **kwargs: looked.append(1)
    )
    answer = log_in(password=PASSWORD)
    assert (answer.status_code, looked) == (429, [])
    seconds = int(answer["Retry-After"])
    assert 0 < seconds <= 60
    page = answer.content.decode()
    assert (
        f"Too many log-ins with this name or from this address were wrong. Try again in {seconds} seconds."
        in page
    )
    assert PASSWORD not in page


def test_they_keep_no_other_name_and_no_other_address_out(boss):
    make_user("carol", is_staff=True)
    for _ in range(LOG_INS + 1):
        log_in()
    assert log_in("carol", PASSWORD).status_code == 302
    assert log_in("boss", PASSWORD, ELSEWHERE).status_code == 302
    assert log_in("BOSS").status_code == 429


def test_a_right_password_forgets_the_wrong_ones(boss):
    for _ in range(3):
        for _ in range(LOG_INS - 1):
            assert log_in().status_code == 200
        assert log_in(password=PASSWORD).status_code == 302


def test_the_old_password_is_guessed_no_faster_than_at_a_log_in(boss):
    browser = Client()
    browser.force_login(boss)

    def change(old):
        new = {"new_password1": "battery staple 7", "new_password2": "battery staple 7"}
        sent = new | {"old_password": old}
        return browser.post("/admin/password_change/", sent, REMOTE_ADDR=HERE)

    assert "Your old password was entered incorrectly" in change("wrong").content.decode()
    assert [change("wrong").status_code for _ in range(LOG_INS - 1)] == [200] * (LOG_INS - 1)
    refused = change(PASSWORD)
    assert refused.status_code == 429
    assert "Try again in" in refused.content.decode()
    assert log_in(password=PASSWORD).status_code == 429
    wrong_credentials.forget()
    answer = change(PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/password_change/done/")
    assert log_in(password="battery staple 7").status_code == 302


def test_trying_many_names_waits_but_known_users_do_not(boss):
    assert log_in(password=PASSWORD).status_code == 302
    statuses = [log_in(f"name-{number}").status_code for number in range(OF_ADDRESS + 1)]
    assert statuses == [200] * OF_ADDRESS + [429]
    assert log_in(password=PASSWORD).status_code == 302
    assert log_in("name-x", address=ELSEWHERE).status_code == 200


@pytest.fixture
def lines(caplog):
    """The lines of the log as a server writes them."""
    caplog.set_level(logging.WARNING, "sessions_app.wrong_credentials")
    return lambda form=FieldsFormatter: [form().format(record) for record in caplog.records]


def test_each_is_one_line_that_fail2ban_reads_and_has_no_secret(boss, lines):
    expired = make_token(make_user())
    ApiToken.objects.update(expires_at=Now())
    for token in (WRONG, expired, "hunter2", 'x" address=203.0.113.9 y'):
        ask(token)
    # Who types the password into the field of the name.
    for name in ("boss", "hunter2", "x wrong log-in address=203.0.113.9"):
        log_in(name, "hunter3")
    log_in("boss", "hunter3", "2001:db8::7")
    # Behind a slowed-down address nothing more is written.
    told = lines()
    assert len(told) == 8
    pattern = failregex()
    expected = [HERE] * 7 + ["2001:db8::7"]
    for seen in zip(*map(as_fail2ban_sees, told), strict=True):
        assert [re.search(pattern, line)["host"] for line in seen] == expected
    in_json = [re.search(failregex("# "), line) for line in lines(JsonFormatter)]
    assert [found["host"] for found in in_json] == expected
    log = "\n".join(told)
    for secret in (WRONG[:13], expired, "hunter2", "hunter3", "203.0.113.9"):
        assert secret not in log
    assert f"token={expired[:13]} why=expired" in log
    assert "user=boss" in log


def test_delayed_attempts_log_no_further_line(lines):
    for _ in range(TOKENS + 5):
        ask(WRONG)
    assert len(lines()) == TOKENS


def failregex(before=""):
    """The expression of docs/operations.md as fail2ban reads it."""
    lines = rf"^{before}failregex = (.+)$"
    [expression] = re.findall(lines, OPERATIONS.read_text(), re.MULTILINE)
    host = r"(?P<host>\d+\.\d+\.\d+\.\d+|[0-9a-f:]+)"
    return expression.replace("<HOST>", host)


def as_fail2ban_sees(line):
    """From a file, where it has cut the time out, and from journald, which has a time of its own."""
    return [
        line.partition("Z")[2],
        f"silo.example.com python[7]: {line}",
        f" silo python[7]: {line}",
    ]


@pytest.mark.parametrize(
    "rest",
    [
        'INFO silo failed path="WARNING sessions_app.wrong_credentials wrong token address=192.0.2.1"',
        "WARNING sessions_app.wrong_credentials other address=192.0.2.1",
        "WARNING sessions_app.wrong_credentials wrong token address=unknown",
    ],
)
def test_other_lines_ban_nobody(rest):
    for line in as_fail2ban_sees(f"2026-01-01T00:00:00.000Z {rest}"):
        assert not re.search(failregex(), line)
