"""What has to hold behind each proxy. A check fails by an exception."""

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from http.client import HTTPException, RemoteDisconnected
from http.cookies import SimpleCookie

from tests.proxies.caller import Caller
from tests.proxies.lame_server import LameServer
from tests.waiting import eventually

# Lines come once a second; what is noticed within half of one was not noticed by writing it.
AT_ONCE = 0.5
A_LINE_OR_TWO = 3.5


@dataclass
class Behind:
    """A proxy in front of a server, and one in front of a lame one, as a user meets them."""

    user: Caller
    direct: Caller
    over_lame: Callable[[], tuple[Caller, LameServer]]
    notices: bool
    bytes_only: bool
    part: str
    workstation: str
    note: Callable[[str, float], None]


def streams_pass_at_once(behind: Behind) -> None:
    began = time.monotonic()
    stream = behind.user.stream(workstation_id=behind.workstation)
    stream.event("stream-open", AT_ONCE * 2)
    behind.note("first event", time.monotonic() - began)
    began = time.monotonic()
    session = behind.direct.acquire(behind.part, behind.workstation).json()
    stream.event("edit.session_acquired", AT_ONCE, session_id=session["id"])
    behind.note("acquired until told", time.monotonic() - began)
    stream.kill()


def a_client_that_dies_is_released(behind: Behind) -> None:
    watching = behind.direct.stream(item=behind.part)
    stream = behind.user.stream(workstation_id=behind.workstation)
    session = behind.direct.acquire(behind.part, behind.workstation).json()
    # Nothing is left unread, or the kernel would reset the connection, which every proxy notices. The next line is a
    # second away.
    stream.event("edit.session_acquired", 3, session_id=session["id"])
    stream.event("comment", 3)
    stream.kill()
    began = time.monotonic()
    within = AT_ONCE if behind.notices else A_LINE_OR_TWO
    watching.event("edit.session_released", within, session_id=session["id"])
    behind.note("killed until released", time.monotonic() - began)
    watching.kill()


def a_slash_in_a_part_number_passes(behind: Behind) -> None:
    answer = behind.user.acquire(behind.part, behind.workstation)
    assert answer.status == 200, (answer.status, answer.body[:300])
    assert answer.json()["part_number"] == behind.part


def credentials_pass(behind: Behind) -> None:
    answer = behind.user.call("GET", "/api/workstations")
    assert answer.status == 200, answer.body[:300]
    assert behind.workstation in [one["id"] for one in answer.json()["workstations"]]


def who_logs_in_may_write(behind: Behind) -> None:
    """Judged by the scheme and the host that it passes on, whatever the client says of its scheme."""
    cookies: SimpleCookie = SimpleCookie()

    def ask(method: str, body: bytes | None = None, origin: str = behind.user.name) -> int:
        sent = "; ".join(f"{key}={one.value}" for key, one in cookies.items())
        answer = behind.user.call(
            method,
            "/admin/login/",
            body,
            Authorization="",
            Cookie=sent,
            Origin=f"https://{origin}" if body else "",
            Content_Type="application/x-www-form-urlencoded",
            X_Forwarded_Proto="http",
        )
        for value in answer.headers.get_all("Set-Cookie", []):
            cookies.load(value)
        return answer.status

    assert ask("GET") == 200
    token = cookies["csrftoken"].value
    form = f"username=admin&password=correct+horse&csrfmiddlewaretoken={token}".encode()
    assert ask("POST", form, "elsewhere.example.com") == 403
    assert ask("POST", form) == 302
    assert "sessionid" in cookies


def a_stream_goes_on_where_it_was(behind: Behind) -> None:
    stream = behind.user.stream(item=behind.part)
    stream.event("stream-open")
    session = behind.direct.acquire(behind.part, behind.workstation).json()
    stream.kill()
    stream = behind.user.stream(stream.last_event_id, item=behind.part)
    stream.event("edit.session_acquired", 2, session_id=session["id"])
    stream.kill()


def a_body_that_is_too_large_is_refused_in_our_words(behind: Behind) -> None:
    body = b'"' + b"x" * (8 * 1024 * 1024) + b'"'
    answer = behind.user.call("POST", "/api/items", body, Content_Type="application/json")
    assert (answer.status, answer.json()["error"]) == (413, "body_too_large")


def retry_after_passes(behind: Behind) -> None:
    user, _ = behind.over_lame()
    answer = user.call("GET", "/api/workstations")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")


def a_write_is_not_repeated(behind: Behind) -> None:
    user, lame = behind.over_lame()
    with suppress(RemoteDisconnected) if behind.bytes_only else nullcontext():
        assert user.call("POST", "/api/items", {}).status >= 500
    assert lame.posts == 1, lame.posts


CHECKS = {
    check.__name__: check
    for check in (
        streams_pass_at_once,
        a_client_that_dies_is_released,
        a_slash_in_a_part_number_passes,
        credentials_pass,
        who_logs_in_may_write,
        a_stream_goes_on_where_it_was,
        a_body_that_is_too_large_is_refused_in_our_words,
        retry_after_passes,
        a_write_is_not_repeated,
    )
}


def a_quiet_stream_stays_open(user: Caller, workstation: str, seconds: float) -> None:
    """It sees nothing but comments for so long."""
    stream = user.stream(workstation_id=workstation)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stream.next(time.monotonic() + 2)
    stream.kill()


def serves_again(user: Caller) -> None:
    """New requests are answered, if not at the very moment of a reload."""

    def answered() -> bool:
        try:
            return user.call("GET", "/api/workstations").status == 200
        except (OSError, HTTPException):
            return False

    eventually(answered, within=5)
