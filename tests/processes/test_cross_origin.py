"""Pages of other origins (CORS), at the API and at streams; and HEAD at streams."""

import httpx
import pytest

HERE, WILD, ELSEWHERE = "https://cad.example", "https://a.b.example", "https://evil.example"
ORIGINS = f"{HERE},https://*.b.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, last-event-id, x-csrftoken",
}
ADDRESSES = ["/api/events?all=true", "/api/items/A/events", "/api/items", "/api/items?limit=0"]
OTHERS = ["/api/nothing", "/health", "/ready"]


@pytest.fixture
def ada(serve, client_of, part):
    return client_of(serve(SILO_TRUSTED_ORIGINS=ORIGINS))


def ask(client, method, path, **headers):
    """Return an answer's status and headers; a stream is left at once."""
    headers["Authorization"] = f"Bearer {client.token}"
    url = client.server.url + path.replace("/A/", "/DIN%20912%2FM5%20gr%C3%B6%C3%9Fe/")
    with httpx.stream(method, url, headers=headers, timeout=10) as answer:
        return answer.status_code, answer.headers


def cors(headers):
    return {name for name in headers if name.startswith("access-control-")}


def test_pages_of_the_origins_that_are_configured_use_everything(ada):
    for origin in (HERE, WILD):
        for path in ADDRESSES + OTHERS:
            _, headers = ask(ada, "GET", path, Origin=origin)
            assert headers["Access-Control-Allow-Origin"] == origin, path
            assert headers["Access-Control-Allow-Credentials"] == "true"
            assert {"X-Next", "Retry-After"} <= set(
                headers["Access-Control-Expose-Headers"].split(", ")
            )
            assert "origin" in headers["Vary"].lower()
            assert "no-store" in headers["Cache-Control"]


def test_they_may_ask_first(ada):
    for path in ADDRESSES:
        status, headers = ask(ada, "OPTIONS", path, Origin=HERE, **PREFLIGHT)
        assert status == 200
        assert headers["Access-Control-Allow-Origin"] == HERE
        allowed = set(headers["Access-Control-Allow-Headers"].split(", "))
        assert allowed >= {"authorization", "content-type", "last-event-id", "x-csrftoken"}
        assert {"GET", "POST", "DELETE"} <= set(headers["Access-Control-Allow-Methods"].split(", "))


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "https://b.example", f"{HERE}.evil.example"])
def test_pages_of_others_get_nothing(ada, origin):
    for path in ADDRESSES + OTHERS:
        for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
            _, answered = ask(ada, method, path, Origin=origin, **headers)
            assert not cors(answered), path
            assert "origin" in answered["Vary"].lower()


def test_a_stream_is_asked_under_a_name_that_is_allowed(ada):
    for path in ADDRESSES[:2]:
        status, headers = ask(ada, "GET", path, Host="evil")
        assert status == 400
        assert headers["Content-Type"] == "application/json"


def test_head_tells_what_a_stream_would_be_and_opens_none(ada):
    before = ada.server.sse_clients()
    for path in ADDRESSES[:2]:
        got, head = ask(ada, "GET", path), ask(ada, "HEAD", path)
        assert head[0] == got[0] == 200
        for name in ("Content-Type", "Cache-Control", "X-Accel-Buffering"):
            assert head[1][name] == got[1][name]
    assert ask(ada, "HEAD", "/api/events")[0] == 422
    assert ask(ada, "HEAD", "/api/items/nothing/events")[0] == 404
    anonymous = httpx.head(f"{ada.server.url}/api/events?all=true")
    assert (anonymous.status_code, anonymous.content) == (401, b"")
    workstation = ada.workstation()
    assert ask(ada, "HEAD", f"/api/events?workstation_id={workstation}")[0] == 200
    stream = ada.stream(workstation_id=workstation)
    assert ada.server.sse_clients() == before + 1
    stream.close()
    assert "Traceback" not in ada.server.output
