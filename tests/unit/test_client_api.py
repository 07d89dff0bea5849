"""What a client refuses to send, and to repeat in a message."""

import httpx
import pytest

from silo_client import Api, ConfigurationError, NotFoundError, ServerUnavailableError, SiloError

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "token", ["", " ", "se cret", "se\ncret", "se\rcret", "sécret", "se\0cret"]
)
def test_invalid_token_is_refused_and_not_repeated(token):
    with pytest.raises(ConfigurationError, match="The token is invalid") as caught:
        Api(URL, token)
    assert "cret" not in str(caught.value)


def test_white_space_around_one_does_not_matter():
    api = Api(URL, " secret\r\n")
    assert api.token == "secret"
    api.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "silo", "ftp://silo", "http://", "http://user:secret@silo", "http://user@silo"),
        *("http://silo:port", "http://si lo\n"),
    ],
)
def test_invalid_url_is_refused(url):
    with pytest.raises(ConfigurationError, match="The server URL") as caught:
        Api(url, "t")
    assert isinstance(caught.value, SiloError)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_invalid_ca_file_is_named(tmp_path, text):
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"ca\.pem is invalid"):
        Api(URL, "t", str(file))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json={"error": "not_found", "message": "No."}), NotFoundError),
        (httpx.Response(404, text="404 page not found"), ServerUnavailableError),
        (httpx.Response(401, json={"detail": "proxy"}), ServerUnavailableError),
        (httpx.Response(429, json={"error": "too_many", "message": "No."}), ServerUnavailableError),
        (httpx.Response(503, json={"error": "unavailable"}), ServerUnavailableError),
        (httpx.Response(200, text="<html>"), ServerUnavailableError),
        (httpx.Response(200, json=[]), ServerUnavailableError),
    ],
)
def test_only_a_silo_server_refuses(answer, error, monkeypatch):
    api = Api(URL, "t")
    monkeypatch.setattr(
        api._http,
        "request",
        lambda *_, **__: setattr(answer, "request", httpx.Request("GET", URL)) or answer,
    )
    with pytest.raises(error):
        api.sessions_of("P")
    api.close()
