"""How the client finds its way to a server by what the environment says, and what it says where that is wrong."""

import ssl

import httpx
import pytest

from silo_client import Api, ConfigurationError, ServerUnavailableError
from silo_client.network.route import find_proxy, make_context, route_to

URL = "http://127.0.0.1:1"
VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for kind in ("http", "https", "all", "no"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def chosen(url, **environment):
    found = find_proxy(httpx.URL(url), environment)
    return str(found) if found else None


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://silo", {}, None),
        ("http://silo", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://silo", {"HTTPS_PROXY": "http://p:1"}, "the proxy http://p:1 (HTTPS_PROXY)"),
        ("http://silo", {"HTTP_PROXY": "p:3128"}, "the proxy http://p:3128 (HTTP_PROXY)"),
        ("http://silo", {"ALL_PROXY": "http://p:1"}, "the proxy http://p:1 (ALL_PROXY)"),
        # As curl and urllib have it: what is written small counts first, also if it is empty.
        (
            "http://silo",
            {"HTTP_PROXY": "p:1", "http_proxy": "q:2"},
            "the proxy http://q:2 (http_proxy)",
        ),
        ("http://silo", {"HTTP_PROXY": "p:1", "http_proxy": ""}, None),
        ("http://silo", {"HTTP_PROXY": "p:1", "REQUEST_METHOD": "GET"}, None),
        (
            "http://silo",
            {"http_proxy": "http://me:secret@p:1"},
            "the proxy http://p:1 (http_proxy)",
        ),
        (
            "http://silo",
            {"http_proxy": "http://[::1]:3128"},
            "the proxy http://[::1]:3128 (http_proxy)",
        ),
        # What does not matter for this server may be wrong.
        (
            "http://silo",
            {"ALL_PROXY": "garbage://", "HTTP_PROXY": "p:1"},
            "the proxy http://p:1 (HTTP_PROXY)",
        ),
        ("http://silo", {"ALL_PROXY": "garbage://", "NO_PROXY": "silo"}, None),
    ],
)
def test_the_proxy_is_the_one_that_the_environment_names(url, environment, proxy):
    assert chosen(url, **environment) == proxy


@pytest.mark.parametrize(
    ("url", "no_proxy", "excepted"),
    [
        ("http://[::1]:8000", "[::1]", True),
        ("http://[::1]:8000", "::1", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://[::1]:8000", "[::1]:9000", False),
        ("http://[fd00::7]", "fd00::/8", True),
        ("http://[fd00::7]", "[fd00::]/8", True),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "localhost, 10.1.2.0/24", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3", "10.1.2", False),
        ("http://silo.example.com", "example.com", True),
        ("http://silo.example.com", ".example.com", True),
        ("http://silo.example.com", "*.example.com", True),
        ("http://SILO.example.com", "Silo.Example.com", True),
        ("http://badexample.com", "example.com", False),
        ("http://silo.example.com", "10.0.0.0/8 [::1],,", False),
        ("http://silo.example.com:80", "silo.example.com:80", True),
        ("https://silo.example.com", "silo.example.com:443", True),
        ("https://silo.example.com", "https://silo.example.com", True),
        ("http://anything", "*", True),
        ("http://anything", "[", False),
    ],
)
def test_no_proxy_excepts_hosts_domains_addresses_and_networks(url, no_proxy, excepted):
    environment = {"ALL_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    assert (chosen(url, **environment) is None) is excepted


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    ["garbage://u:secret@p", "http://", "x y", "http://p:99999", "http://p:secret@", "a..b:1"],
)
def test_invalid_proxy_is_reported_with_its_variable_without_password(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name} is not a proxy URL") as caught:
        Api(URL, "t")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["socks", "socks5", "socks5h"])
def test_a_socks_proxy_works_or_says_what_is_missing(monkeypatch, scheme):
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://me:secret@127.0.0.1:1")
    monkeypatch.setattr("silo_client.network.route.HAS_SOCKS", False)
    with pytest.raises(
        ConfigurationError, match=r"ALL_PROXY names a SOCKS .*'silo-client\[socks\]'"
    ) as caught:
        Api(URL, "t")
    assert "secret" not in str(caught.value)
    monkeypatch.setattr("silo_client.network.route.HAS_SOCKS", True)
    assert route_to(URL).proxy.url.scheme in {"socks5", "socks5h"}


def test_unreachable_server_is_reported_with_the_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    api = Api("http://silo.example.com", "t")
    wanted = (
        r"http://silo\.example\.com could not be reached through the proxy http://127\.0\.0\.1:1"
        r" \(HTTP_PROXY\): .*refused"
    )
    with pytest.raises(ServerUnavailableError, match=wanted) as caught:
        api.sessions_of("P")
    assert "secret" not in str(caught.value)
    monkeypatch.setattr(
        api._http,
        "request",
        lambda *_, **__: httpx.Response(403, text="log in", request=httpx.Request("GET", URL)),
    )
    with pytest.raises(
        ServerUnavailableError, match=r"\(403\); it was asked through the proxy http"
    ):
        api.sessions_of("P")
    api.close()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("value", ["/not/there", "{folder}", "{text}"])
def test_invalid_ca_file_is_reported_with_its_variable(monkeypatch, tmp_path, name, value):
    text = tmp_path / "text"
    text.write_text("no certificate")
    if name == "SSLKEYLOGFILE" and value == "{text}":
        return
    monkeypatch.setenv(name, value.format(folder=tmp_path, text=text))
    with pytest.raises(ConfigurationError, match=f"{name} names "):
        Api("https://127.0.0.1:1", "t")
    # Where nothing is encrypted, it does not matter.
    Api(URL, "t").close()


def test_certificates_that_are_there_are_trusted(monkeypatch, tmp_path):
    certifi = pytest.importorskip("certifi")
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert isinstance(make_context(None), ssl.SSLContext)
    monkeypatch.delenv("SSL_CERT_FILE")
    (tmp_path / "0a1b2c3d.0").touch()
    monkeypatch.setenv("SSL_CERT_DIR", f"/not/there:{tmp_path}")
    assert isinstance(make_context(None), ssl.SSLContext)
    monkeypatch.delenv("SSL_CERT_DIR")
    assert make_context(None) is True


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b",
        f"http://{'a' * 64}.com",
        "http://h:99999",
        "http://si lo",
        "http://h?x=1",
        "http://h#x",
    ],
)
def test_urls_with_invalid_hosts_are_refused(url):
    with pytest.raises(ConfigurationError, match="The server URL"):
        Api(url, "t")
