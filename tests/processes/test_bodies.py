"""Large bodies: none is read for somebody unknown, and the memory for all of them has a bound."""

import json
import resource
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sessions_app.models import ApiToken
from tests.processes.connections import connect, get, statuses, until_closed
from tests.processes.service import Serve
from tests.system import megabytes
from tests.waiting import eventually

pytestmark = pytest.mark.alone

MEGABYTE = 1024 * 1024
LARGEST = 8 * MEGABYTE
BATCH = "/api/edit-sessions/batch"
# A JSON document that no operation takes.
NONSENSE = b'{"x":"' + b"y" * (LARGEST - 100) + b'"}'
REFUSED = b"HTTP/1.1 401 Unauthorized"
# After many wrong tokens of one address.
SLOWED = b"HTTP/1.1 429 Too Many Requests"
READ = b"HTTP/1.1 422 Unprocessable Content"


def forget_peak(server: Serve) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def head(token: str = "", *lines: str, path: str = BATCH, length: int | None = len(NONSENSE)):
    """The headers of a request with a body."""
    credentials = [f"Authorization: Bearer {token}"] if token else []
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: localhost", framing, *credentials, *lines, "", ""]
    ).encode()


def status(connection: socket.socket) -> bytes:
    """Read the status line of the next answer, or nothing of a connection that was cut."""
    received = b""
    with suppress(ConnectionError):
        while b"\r\n" not in received:
            part = connection.recv(4096)
            if not part:
                break
            received += part
    return received.partition(b"\r\n")[0]


def send_all(server: Serve, token: str, count: int) -> Counter[bytes]:
    """Send so many of the largest bodies at once; return how they were answered."""

    def send(_: int) -> bytes:
        with connect(server) as connection:
            with suppress(ConnectionError):
                connection.sendall(head(token) + NONSENSE)
            return status(connection)

    with ThreadPoolExecutor(count) as threads:
        return Counter(threads.map(send, range(count)))


def test_bodies_of_strangers_cost_no_memory(serve):
    server = serve()
    send_all(server, "wrong", 2)
    before = megabytes(server.pid)
    forget_peak(server)
    answered = send_all(server, "wrong", 100)
    assert answered[REFUSED] > 0
    assert answered.keys() <= {REFUSED, SLOWED, b""}
    assert megabytes(server.pid, "VmHWM") < before + 40
    assert "Traceback" not in server.output


def test_bodies_of_users_share_a_bound_and_give_it_back(serve, client_of):
    server = serve(SILO_BODY_MEMORY_MB="16")
    users = [client_of(server, name) for name in ("ada", "bob", "eve")]
    send_all(server, users[0].token, 3)
    before = megabytes(server.pid)
    forget_peak(server)
    with ThreadPoolExecutor(len(users)) as threads:
        answered = list(threads.map(lambda one: send_all(server, one.token, 8), users))
    assert answered == [{READ: 8}] * 3
    # Of 24 bodies of 8 MB there are two at a time; Django has some copies of each, in an arena for each thread.
    assert megabytes(server.pid, "VmHWM") < before + 250
    eventually(lambda: megabytes(server.pid) < before + 100)
    assert "Traceback" not in server.output


def test_who_asks_before_sending_is_told_before_sending(serve, client_of):
    server = serve()
    ada = client_of(server)
    for length in (len(NONSENSE), None):
        with connect(server) as connection:
            connection.sendall(head("wrong", "Expect: 100-continue", length=length))
            assert status(connection) == REFUSED
    with connect(server) as connection:
        connection.sendall(head(ada.token, "Expect: 100-continue"))
        assert status(connection) == b"HTTP/1.1 100 Continue"
        connection.sendall(NONSENSE)
        assert status(connection) == READ


def test_a_body_in_chunks_is_read_on_for_users_only(serve, client_of):
    server = serve()
    chunk = b"%x\r\n%s\r\n" % (MEGABYTE, b" " * MEGABYTE)
    for token, expected in ((client_of(server).token, READ), ("wrong", REFUSED)):
        with connect(server) as connection:
            with suppress(ConnectionError):
                connection.sendall(head(token, length=None) + chunk * 4 + b"0\r\n\r\n")
            assert status(connection) == expected


def test_a_request_behind_a_large_one_is_answered_after_it(serve, client_of):
    server = serve()
    ada = client_of(server)
    with connect(server) as connection:
        health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(health + head(ada.token) + NONSENSE + last)
        assert statuses(until_closed(connection)) == [200, 422, 200]


def test_an_open_stream_keeps_nothing_of_its_body(serve, client_of):
    server = serve(SILO_BODY_MEMORY_MB="16")
    ada = client_of(server)
    body = json.dumps({"all": True}).encode().ljust(LARGEST)
    before = megabytes(server.pid)
    with connect(server) as one, connect(server) as two, connect(server) as three:
        for connection in (one, two, three):
            connection.sendall(head(ada.token, path="/api/events", length=LARGEST) + body)
            assert status(connection) == b"HTTP/1.1 200 OK"
        eventually(lambda: server.sse_clients() == 3)
        eventually(lambda: megabytes(server.pid) < before + 24)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(serve, client_of):
    server = serve(SILO_BODY_MEMORY_MB="8")
    ada = client_of(server)
    for _ in range(5):
        with connect(server) as connection:
            connection.sendall(head(ada.token) + NONSENSE[:MEGABYTE])
    with connect(server) as connection:
        connection.sendall(head(ada.token) + NONSENSE)
        assert status(connection) == READ


@pytest.mark.parametrize("fault", ["/api/items/%FF/edit-sessions", BATCH])
def test_a_large_request_that_is_refused_gives_its_memory_back(serve, client_of, fault):
    server = serve(SILO_BODY_MEMORY_MB="8")
    ada = client_of(server)
    further = ["Upgrade: websocket"] if fault == BATCH else []
    for path, lines, expected in ((fault, further, {b"400", b"403"}), (BATCH, [], {b"422"})):
        with connect(server) as connection:
            connection.settimeout(10)
            connection.sendall(head(ada.token, *lines, path=path) + NONSENSE)
            assert status(connection)[9:12] in expected


def test_a_small_body_in_chunks_waits_for_nobody_whoever_asks_before_sending_it(serve, client_of):
    server = serve(SILO_BODY_MEMORY_MB="8", SILO_REQUESTS_PER_USER="1")
    ada = client_of(server)
    with ExitStack() as large:
        # One has all the memory, the other is the one that may wait.
        for _ in range(2):
            connection = large.enter_context(connect(server))
            connection.sendall(head(ada.token) + NONSENSE[:MEGABYTE])
        eventually(lambda: b"429" in refused_if_one_more(server, ada.token))
        with connect(server) as connection:
            connection.settimeout(10)
            path = "/api/edit-sessions/release"
            connection.sendall(head(ada.token, "Expect: 100-continue", path=path, length=None))
            assert status(connection) == b"HTTP/1.1 100 Continue"


def refused_if_one_more(server: Serve, token: str) -> bytes:
    """Return how one more large body is answered at once, or nothing where it waits."""
    with connect(server) as connection:
        connection.settimeout(0.5)
        connection.sendall(head(token))
        with suppress(TimeoutError):
            return status(connection)
    return b""


def test_who_was_known_is_so_once_more_at_most(serve, client_of):
    server = serve()
    ada = client_of(server)
    with connect(server) as connection:
        connection.sendall(head(ada.token) + NONSENSE)
        assert status(connection) == READ
    ApiToken.objects.all().delete()
    with connect(server) as connection:
        connection.sendall(head(ada.token) + NONSENSE)
        assert status(connection) == REFUSED
    with connect(server) as connection:
        connection.sendall(head(ada.token))
        assert status(connection) == REFUSED


class FewDescriptors(Serve):
    """A server that may have 200 descriptors."""

    limit = 200

    def start_command(self, *command: str) -> list[str]:
        return ["sh", "-c", f'ulimit -n {self.limit}; exec "$@"', "sh", *command]


@pytest.fixture
def few_descriptors(processes):
    server = FewDescriptors()
    processes.callback(server.close)
    return server.ready()


def test_out_of_descriptors_it_refuses_and_goes_on(few_descriptors, client_of):
    server = few_descriptors
    ada = client_of(server)
    stream = ada.stream(all="true")
    beats = len(stream.named("heartbeat"))
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert open_files > 3 * server.limit
    crowd = []
    try:
        for _ in range(2 * server.limit):
            with suppress(OSError):
                crowd.append(connect(server))
        # An idle connection makes room for each new one.
        assert ada.call("GET", "/api/items").status_code == 200
        # A stream makes room for nobody.
        assert not any(event["event"] == "stream-reset" for event in stream.events)
        eventually(lambda: len(stream.named("heartbeat")) >= beats + 3)
        assert len(list(Path(f"/proc/{server.pid}/fd").iterdir())) < server.limit - 40
        server.line("connection limit reached")
    finally:
        for connection in crowd:
            connection.close()
    assert ada.call("GET", "/api/items").status_code == 200
    assert server.running
    assert "Traceback" not in server.output


def test_a_connection_that_is_kept_after_its_answer_makes_room(few_descriptors, client_of):
    server = few_descriptors
    ada = client_of(server)
    with ExitStack() as kept:
        for _ in range(server.limit):
            connection = kept.enter_context(connect(server))
            with suppress(ConnectionError):
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status(connection) == b"HTTP/1.1 200 OK"
        assert ada.call("GET", "/api/items").status_code == 200


def test_where_all_are_streams_a_new_connection_is_told_to_come_again(few_descriptors, client_of):
    server = few_descriptors
    ada = client_of(server)
    with ExitStack() as streams:
        answers = []
        while b"HTTP/1.1 503 Service Unavailable" not in answers:
            assert len(answers) < server.limit
            connection = streams.enter_context(connect(server))
            connection.sendall(get(ada, "/api/events?all=true"))
            answers.append(status(connection))
        assert len(answers) > server.limit / 4
        assert set(answers[:-1]) == {b"HTTP/1.1 200 OK"}
    eventually(lambda: server.sse_clients() == 0)
    assert ada.call("GET", "/api/items").status_code == 200
