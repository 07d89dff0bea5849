"""What is wrong with a server's URL, in words, where what answers at it is no Silo server.

Each function returns the end of a sentence that begins with the URL, or "" where it does not know better.
"""

from __future__ import annotations

import re
import socket
import ssl

import httpx

# A Silo server's message where its API has no such address.
NOTHING_THERE = "There is nothing at this address."
PROXY_WANTS_A_LOG_IN = (
    "the proxy wants a user name and a password (407): give them in the proxy's URL, as in"
    " http://user:password@proxy.example.com:3128"
)
# Ways in which nginx, Apache and Caddy say so.
_WANTS_HTTPS = re.compile(r"plain HTTP|HTTP request to an HTTPS server")
# Ways in which OpenSSL says that what came is no TLS.
# A server that speaks HTTP only may go on waiting for the rest of a request.
_TLS_TIMED_OUT = "handshake operation timed out"
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG")
# Where an address answers plain requests with nothing but the end of the connection, it is asked whether it speaks TLS.
TLS_SECONDS = 2.0


def of_answer(url: httpx.URL, answer: httpx.Response, message: str) -> str:
    """Say what is wrong with a URL by an answer that is no Silo server's, or is a Silo server's for another address.

    Args:
        url: the server's.
        answer: to a request to the API.
        message: of a Silo server; "" where the answer is none of its.
    """
    path = url.path.rstrip("/")
    if answer.next_request is not None:
        return _elsewhere(answer.request.url.path, path, answer.next_request.url)
    if answer.status_code == 400 and url.scheme == "http" and _WANTS_HTTPS.search(answer.text):
        return f"expects HTTPS: give {with_https(url)}"
    if answer.status_code == 404 and path and message in ("", NOTHING_THERE):
        what = "a Silo server that has" if message else "a server that has"
        return f"leads to {what} no API below {path}: correct the path {path}, or leave it out"
    return ""


def of_error(url: httpx.URL, error: Exception) -> str:
    """Say what is wrong with a URL by the error of a request."""
    if url.scheme != "https":
        return ""
    # No advice to use http: who is in between may just be the one who wants that.
    if _NO_TLS.search(str(error)):
        return "does not speak HTTPS at this port: check scheme and port"
    if _TLS_TIMED_OUT in str(error):
        return "does not speak HTTPS at this port, or not in time: check scheme and port"
    return ""


def with_https(url: httpx.URL) -> str:
    """Return a URL of http at the same port by https."""
    return str(url.copy_with(scheme="https", port=url.port or 80))


def speaks_tls(url: httpx.URL) -> bool:
    """Return whether an address to which plain HTTP was sent answers a TLS handshake. Nothing is sent but that."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((url.host, url.port or 80), TLS_SECONDS) as plain:
            context.wrap_socket(plain, server_hostname=url.host).close()
    except (OSError, ValueError):
        return False
    return True


def _elsewhere(asked: str, path: str, target: httpx.URL) -> str:
    """Name the server's URL by the address to which a request was redirected."""
    rest = asked[len(path) :]
    shown = target.copy_with(query=None, fragment=None, username=None, password=None)
    if not target.path.endswith(rest):
        return f"redirects to {shown}, which is no address of a Silo server's API"
    base = shown.copy_with(path=target.path[: -len(rest)] or "/")
    return f"redirects to {str(base).rstrip('/')}: give that as the server's URL"
