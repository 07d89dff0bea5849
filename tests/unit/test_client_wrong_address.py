"""A server's URL that leads elsewhere: the error names what is wrong with it."""

import contextlib
import datetime
import socket
import ssl
import sys
import threading

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from silo.errors import CODES
from silo_client import Api, NotFoundError, ServerUnavailableError
from silo_client.cli import main
from silo_client.network.wrong_address import NOTHING_THERE, of_error, speaks_tls

HTML = "<html>nginx</html>"
LIST = {"sessions": [], "cursor": "1", "next": None}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for kind in ("http", "https", "all", "no"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def answering():
    """Make the API of a URL, at which everything gets the same answer."""
    made = []

    def make(url, *answer, **more):
        api = Api(url, "t")
        respond = httpx.MockTransport(lambda _: httpx.Response(*answer, **more))
        api._http = httpx.Client(base_url=api.url, transport=respond)
        made.append(api)
        return api

    yield make
    for api in made:
        api.close()


def envelope(code, message):
    return {"json": {"error": code, "message": message}}


@pytest.mark.parametrize(
    ("url", "status", "more", "said"),
    [
        (
            "http://silo",
            301,
            {"headers": {"Location": "https://silo/api/edit-sessions?all=true"}},
            "redirects to https://silo: give that as the server's URL",
        ),
        (
            "http://silo/old",
            308,
            {"headers": {"Location": "https://silo.example.com/new/api/edit-sessions"}},
            "redirects to https://silo.example.com/new: give that as the server's URL",
        ),
        (
            "https://silo",
            302,
            {"headers": {"Location": "/log-in?next=/api"}},
            "redirects to https://silo/log-in, which is no address of a Silo server's API",
        ),
        ("https://silo", 304, {}, "did not answer like a Silo server (304)"),
        (
            "http://silo:443",
            400,
            {"text": "<h1>The plain HTTP request was sent to HTTPS port</h1>"},
            "expects HTTPS: give https://silo.",
        ),
        (
            "http://silo",
            400,
            {"text": "Client sent an HTTP request to an HTTPS server."},
            "expects HTTPS: give https://silo:80.",
        ),
        ("http://silo", 400, {"text": HTML}, "did not answer like a Silo server (400)"),
        (
            "http://silo/api",
            404,
            envelope("not_found", NOTHING_THERE),
            "leads to a Silo server that has no API below /api: correct the path /api",
        ),
        (
            "http://silo/x",
            404,
            {"text": HTML},
            "leads to a server that has no API below /x: correct the path /x, or leave it out",
        ),
        ("http://silo", 404, {"text": HTML}, "did not answer like a Silo server (404)"),
    ],
)
def test_an_answer_of_another_server_says_what_is_wrong_with_the_url(
    answering, url, status, more, said
):
    api = answering(url, status, **more)
    with pytest.raises(ServerUnavailableError) as caught:
        api.sessions(all="true")
    assert str(caught.value).startswith(f"{url} {said}")


def test_what_a_silo_server_does_not_know_is_no_wrong_url(answering):
    for url, message in (("http://silo/x", "There is no item 'A'."), ("http://silo", "No.")):
        api = answering(url, 404, **envelope("not_found", message))
        with pytest.raises(NotFoundError) as caught:
            api.sessions_of("A")
        assert str(caught.value) == message
    assert CODES[404][1] == NOTHING_THERE


def test_an_answer_from_elsewhere_is_no_success(answering):
    """A release has no body to look at."""
    api = answering("http://silo", 302, headers={"Location": "https://sso/"})
    with pytest.raises(ServerUnavailableError, match="redirects to https://sso/"):
        api.release("A", "1")


def test_a_server_may_be_below_a_path():
    asked = []

    def respond(request):
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, json=LIST)

    api = Api("https://example.com/tools/silo/", "t")
    api._http = httpx.Client(base_url=api.url, transport=httpx.MockTransport(respond))
    api.sessions_of("DIN 912/M5")
    api.close()
    assert asked == ["/tools/silo/api/items/DIN%20912%2FM5/edit-sessions?limit=1000"]


@contextlib.contextmanager
def listening(serve):
    """Accept connections on a port, and hand each to a function."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Speak TLS on a connection until its handshake is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now.replace(year=2100))
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    file.write_bytes(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return lambda connection: context.wrap_socket(connection, server_side=True).close()


def run(monkeypatch, capsys, url):
    """Run `silo who`; return its exit code and what it says."""
    monkeypatch.setenv("SILO_URL", url)
    monkeypatch.setenv("SILO_TOKEN", "t")
    monkeypatch.setattr(sys, "argv", ["silo", "who"])
    return main._code(), capsys.readouterr().err


def test_http_where_https_is(monkeypatch, capsys, tls):
    with listening(tls) as port:
        code, told = run(monkeypatch, capsys, f"http://127.0.0.1:{port}")
        assert speaks_tls(httpx.URL(f"http://127.0.0.1:{port}"))
    assert code == 8
    assert f"What answers there speaks HTTPS: give https://127.0.0.1:{port}" in told


def test_a_server_that_hangs_up_is_not_taken_for_one_of_https(monkeypatch, capsys):
    with listening(lambda connection: connection.recv(9)) as port:
        code, told = run(monkeypatch, capsys, f"http://127.0.0.1:{port}")
    assert code == 8
    assert "HTTPS" not in told
    assert "Check that the server runs" in told


def test_https_where_http_is(monkeypatch, capsys):
    def plain(connection):
        connection.recv(9)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        # Its end would reach the client before the answer, with what is unread.
        connection.recv(10_000)

    with listening(plain) as port:
        code, told = run(monkeypatch, capsys, f"https://127.0.0.1:{port}")
    assert code == 8
    assert f"https://127.0.0.1:{port} does not speak HTTPS at this port" in told
    assert of_error(httpx.URL("http://h"), OSError("WRONG_VERSION_NUMBER")) == ""


def test_https_where_a_server_waits_for_the_rest_of_a_request(monkeypatch, capsys):
    monkeypatch.setattr("silo_client.api.CONNECT_SECONDS", 0.2)
    done = threading.Event()
    with listening(lambda _: done.wait(20)) as port:
        code, told = run(monkeypatch, capsys, f"https://127.0.0.1:{port}")
        done.set()
    assert code == 8
    assert "does not speak HTTPS at this port, or not in time" in told


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_log_in(monkeypatch, capsys, scheme):
    def refuse(connection):
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 407 Log In\r\nContent-Length: 0\r\n\r\n")

    with listening(refuse) as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        code, told = run(monkeypatch, capsys, f"{scheme}://silo.example.com")
    assert code == 8
    through = f"could not be reached through the proxy http://127.0.0.1:{port} ({scheme}_proxy)"
    assert f"{through}: the proxy wants a user name and a password (407)" in told
    assert "list its host in NO_PROXY" in told
