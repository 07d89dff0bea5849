"""The way through the public URL: whether a proxy redirects, buffers, cuts, or drops headers."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from silo import __version__
from silo.doctor.findings import Finding, Level, ok, problem, skipped, warning

ANSWER_SECONDS: Final = 10.0
# The first event of a stream comes within milliseconds; a busy server may take a second or two.
FIRST_EVENT_SECONDS: Final = 5.0
# A line comes at least every 8 s. A proxy that cuts quiet streams, or collects what comes, does so within this.
WATCH_SECONDS: Final = 10.0
# No cursor of any log: a stream that is asked to go on from it is reset.
FOREIGN_CURSOR: Final = "0-1"
# More than nginx lets through by itself, and no more than a batch may have.
LARGE_BODY_BYTES: Final = 2 * 1024 * 1024
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
PAGE: Final = 'docs/operations.md, "A proxy in front"'


class NoUrl(ValueError):
    """A text is no URL of a service."""


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def from_silo(self) -> bool:
        """Whether it is one of the API's: JSON, an error with its code."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return False
        return isinstance(read, dict) and (self.status < 400 or "error" in read)


class Service:
    """The service behind a URL.

    Args:
        url: `https://silo.example.com`, perhaps with a path.
        token: of a user, "" for none.
        watch_seconds: for how long a stream is watched.

    Raises:
        NoUrl: it is none.
    """

    def __init__(self, url: str, token: str = "", watch_seconds: float = WATCH_SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NoUrl(f"{url!r} is no URL such as https://silo.example.com")
        self.is_https = parts.scheme == "https"
        self.token = token
        self.watch_seconds = watch_seconds
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")

    def call(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request; return its answer. A redirect is not followed.

        Raises:
            OSError, http.client.HTTPException: there is no answer.
        """
        with self._asked(path, body, headers or {}) as response:
            return Answer(response.status, response.headers, response.read())

    @contextmanager
    def stream(self, last_event_id: str) -> Iterator[http.client.HTTPResponse]:
        """Open an event stream that only watches; yield its answer.

        Raises:
            OSError, http.client.HTTPException: there is no answer.
        """
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate"}
        with self._asked(
            "/api/events?all=true", None, {**headers, "Last-Event-ID": last_event_id}
        ) as response:
            yield response

    @contextmanager
    def _asked(
        self, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = (
            http.client.HTTPSConnection(
                self._host,
                self._port,
                timeout=ANSWER_SECONDS,
                context=ssl.create_default_context(),
            )
            if self.is_https
            else http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        )
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            method = "GET" if body is None else "POST"
            connection.request(method, self._path + path, body, {**own, **headers})
            yield connection.getresponse()
        finally:
            connection.close()


def findings(service: Service, *, token_is_good: bool, https: bool) -> Iterator[Finding]:
    """Yield what is found on the way to a service.

    Args:
        service: the service.
        token_is_good: whether the database knows its token.
        https: whether the servers believe the proxy's `X-Forwarded-Proto` (`server.https`).
    """
    try:
        health = service.call("/health")
    except ssl.SSLCertVerificationError as error:
        yield problem(
            "url",
            f"The certificate is not trusted: {error.verify_message}.",
            "Give the proxy a valid one.",
        )
        return
    except (OSError, http.client.HTTPException) as error:
        yield problem("url", f"No answer: {error}.", "See whether name, port and proxy are right.")
        return
    yield from (found := list(_of_health(health)))
    if any(one.level is Level.PROBLEM for one in found):
        return
    for look in (_of_scheme, _of_api, _of_stream):
        try:
            yield from look(service, token_is_good, https)
        except (OSError, http.client.HTTPException) as error:
            yield problem("url", f"A request had no answer: {error}.", f"See {PAGE}.")


def _of_health(answer: Answer) -> Iterator[Finding]:
    if answer.status in REDIRECTS:
        yield problem(
            "url",
            f"The URL redirects to {answer.headers.get('Location', 'nowhere')}: clients do not follow.",
            "Give clients the address behind the redirect, and have the proxy redirect no request of the service.",
        )
    elif answer.status == 400:
        yield problem(
            "hosts",
            "The servers do not know the name in Host.",
            "Add it to server.allowed_hosts, and have the proxy pass Host on.",
        )
    elif answer.status != 200 or not answer.from_silo:
        yield problem(
            "url",
            f"/health is answered {answer.status}, not by Silo Sessions.",
            "Have the proxy pass all paths on, unchanged.",
        )
    elif (version := json.loads(answer.body).get("version")) != __version__:
        yield warning(
            "url",
            f"A server of version {version} answers; this is {__version__}.",
            "Restart the servers that were not upgraded.",
        )
    else:
        yield ok("url", "A server of this version answers, without a redirect.")


def _of_scheme(service: Service, _: bool, https: bool) -> Iterator[Finding]:
    if not service.is_https:
        yield warning(
            "https",
            "The URL is http: tokens and passwords can be read on the way.",
            'Serve HTTPS by a proxy; docs/operations.md, "HTTPS".',
        )
        return
    if not https:
        yield problem(
            "https",
            "The URL is https, and server.https is false: cookies are not marked as secure.",
            "Set server.https to true.",
        )
        return
    answer = service.call("/health")
    if "Strict-Transport-Security" in answer.headers:
        yield ok("https", "The servers know that clients come by HTTPS.")
    else:
        yield problem(
            "https",
            "The servers do not know that clients come by HTTPS: log-ins fail.",
            "Have the proxy set X-Forwarded-Proto to https, whatever a client sends.",
        )


def _of_api(service: Service, token_is_good: bool, _: bool) -> Iterator[Finding]:
    slash = service.call("/api/items/doctor%2Fdoctor")
    if slash.from_silo:
        yield ok("slashes", "Part numbers with a slash (%2F) pass.")
    else:
        yield problem(
            "slashes",
            f"The proxy answers {slash.status} to a part number with a slash (%2F).",
            "Have it pass the path on as it came (Apache: AllowEncodedSlashes NoDecode, nocanon).",
        )
    body = b'{"doctor": "%s"}' % (b"x" * LARGE_BODY_BYTES)
    try:
        passed = service.call("/api/items", body, {"Content-Type": "application/json"}).from_silo
    except (BrokenPipeError, ConnectionResetError):
        # Without a good token the server closes while it is sent.
        passed = True
    if passed:
        yield ok("bodies", "A large body passes.")
    else:
        yield problem(
            "bodies",
            f"The proxy refuses a body of {LARGE_BODY_BYTES // 1024 // 1024} MB.",
            "Let it pass 8 MB (nginx: client_max_body_size 8m).",
        )
    if not token_is_good:
        return
    answer = service.call("/api/workstations")
    if answer.status == 401:
        yield problem(
            "authorization",
            "The token is good, and is refused here: the proxy drops or changes Authorization.",
            "Have it pass Authorization on (Squid: login=PASSTHRU).",
        )
    else:
        yield ok("authorization", "Authorization passes.")


def _of_stream(service: Service, token_is_good: bool, _: bool) -> Iterator[Finding]:
    if not token_is_good:
        yield skipped(
            "streams",
            "Not looked at without a token.",
            "Put a viewer's token into SILO_TOKEN and run this again.",
        )
        return
    with service.stream(FOREIGN_CURSOR) as response:
        if response.status != 200:
            yield problem(
                "streams", f"A stream is answered {response.status}.", "See the log of the server."
            )
            return
        if coding := response.headers.get("Content-Encoding"):
            yield problem(
                "streams",
                f"The proxy compresses streams ({coding}): events are late.",
                "Switch compression off for text/event-stream.",
            )
            return
        yield from _watched(response, service.watch_seconds)


def _watched(response: http.client.HTTPResponse, seconds: float) -> Iterator[Finding]:
    """Read a stream for a while, as its lines come."""
    begun = time.monotonic()
    names, ended = _names_until(response, begun + FIRST_EVENT_SECONDS, until="stream-open")
    if "stream-open" not in names:
        word = "ends before it has begun" if ended else "brings no event in time"
        yield problem(
            "streams",
            f"A stream {word}: the proxy buffers what the servers send, or cuts it.",
            f"Switch buffering off for /api/events; see {PAGE}.",
        )
        return
    yield ok(
        "streams", f"The first event came after {time.monotonic() - begun:.1f} s: not buffered."
    )
    more, ended = _names_until(response, begun + seconds)
    if "stream-reset" in more:
        yield ok("Last-Event-ID", "Last-Event-ID passes, so a stream resumes where it broke off.")
    else:
        yield problem(
            "Last-Event-ID",
            "Last-Event-ID does not pass: after each break clients miss events.",
            "Have the proxy pass Last-Event-ID on.",
        )
    if ended:
        yield problem(
            "streams",
            f"The stream was cut after {time.monotonic() - begun:.0f} s.",
            "Give the proxy time-outs of 20 s or more between two reads, and no limit of the whole answer.",
        )


def _names_until(
    response: http.client.HTTPResponse, deadline: float, until: str = ""
) -> tuple[list[str], bool]:
    """Return the names of the events that come until then, or up to the named one, and whether the stream ended."""
    names: list[str] = []
    while (left := deadline - time.monotonic()) > 0 and (until not in names or not until):
        _set_timeout(response, left)
        try:
            line = response.readline()
        except TimeoutError:
            break
        except (OSError, http.client.HTTPException):
            return names, True
        if not line:
            return names, True
        if line.startswith(b"event: "):
            names.append(line[len(b"event: ") :].decode(errors="replace").strip())
    return names, False


def _set_timeout(response: http.client.HTTPResponse, seconds: float) -> None:
    raw: Any = response.fp
    own: socket.socket = raw.raw._sock
    own.settimeout(max(seconds, 0.01))
