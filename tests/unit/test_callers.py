"""To whom a request belongs: its credentials, where they are known, else its address."""

import pytest

from events_app.fairness.callers import (
    KNOWN_SECONDS,
    MAX_KNOWN,
    UNKNOWN_ADDRESS,
    KnownCredentials,
    address,
    credentials,
)


def scope(client="10.0.0.1", **headers):
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": (client, 1234) if client else None, "headers": sent}


def test_credentials_are_the_header_else_the_cookie_of_the_login():
    token = credentials(scope(authorization="Bearer a"))
    assert token == credentials(scope(authorization="Bearer a", cookie="sessionid=x"))
    assert token != credentials(scope(authorization="Bearer b"))
    assert token == credentials(scope(authorization="bEARER a"))
    login = credentials(scope(cookie="theme=dark; sessionid=x"))
    assert login == credentials(scope(cookie="sessionid=x"))
    assert login not in {None, token, credentials(scope(cookie="sessionid=y"))}
    assert credentials(scope(cookie="theme=dark")) is None
    assert credentials(scope()) is None
    assert credentials({}) is None


@pytest.mark.parametrize(
    ("client", "forwarded", "counts"),
    [
        ("10.0.0.1", "", "10.0.0.1"),
        # Anybody can send the header; only of a trusted proxy it counts.
        ("10.0.0.1", "192.0.2.7", "10.0.0.1"),
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        # What the client itself has sent stands before what the proxy has added.
        ("127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "198.51.100.1, 192.0.2.7, 172.16.4.4", "192.0.2.7"),
        ("127.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("127.0.0.1", "[2001:db8::7]:4711", "2001:db8::/64"),
        ("127.0.0.1", "2001:db8::8", "2001:db8::/64"),
        ("127.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "unknown, 172.16.4.4", "172.16.4.4"),
        ("127.0.0.1", "garbage", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        (None, "192.0.2.7", UNKNOWN_ADDRESS),
    ],
)
def test_the_last_untrusted_address_is_the_callers(settings, client, forwarded, counts):
    settings.EVENTS_TRUSTED_PROXIES = ["127.0.0.1", "172.16.0.0/12"]
    sent = {"x_forwarded_for": forwarded} if forwarded else {}
    assert address(scope(client, **sent)) == counts


def test_no_proxy_is_trusted_by_default(settings):
    assert settings.EVENTS_TRUSTED_PROXIES == []
    assert address(scope("127.0.0.1", x_forwarded_for="192.0.2.7")) == "127.0.0.1"


def test_known_credentials_expire_and_are_forgotten_on_refusal():
    now = 0.0
    identities = KnownCredentials(lambda: now)
    identities.note(b"a", 1)
    identities.note(b"b", 2)
    identities.note(None, 3)
    assert [identities.user(one) for one in (b"a", b"b", b"c", None)] == [1, 2, None, None]
    identities.note(b"b", None)
    assert identities.user(b"b") is None
    now = KNOWN_SECONDS - 1
    identities.note(b"a", 1)
    now = 2 * KNOWN_SECONDS - 2
    assert identities.user(b"a") == 1
    now = 2 * KNOWN_SECONDS
    assert identities.user(b"a") is None


def test_an_alive_request_renews_known_credentials_only():
    now = 0.0
    identities = KnownCredentials(lambda: now)
    identities.note(b"a", 1)
    now = KNOWN_SECONDS - 1
    for one in (b"a", b"b", None):
        identities.renew(one)
    now = KNOWN_SECONDS + 1
    assert (identities.user(b"a"), identities.user(b"b")) == (1, None)


def test_listeners_hear_of_new_callers_only():
    heard = []
    identities = KnownCredentials()
    identities.listeners.append(lambda *news: heard.append(news))
    for user_id in (1, 1, 2, None, 2):
        identities.note(b"a", user_id)
    assert heard == [(b"a", 1), (b"a", 2), (b"a", 2)]


def test_the_number_of_known_credentials_is_limited():
    identities = KnownCredentials()
    for n in range(MAX_KNOWN + 10):
        identities.note(b"%d" % n, n)
    assert identities.user(b"9") is None
    assert identities.user(b"10") == 10
