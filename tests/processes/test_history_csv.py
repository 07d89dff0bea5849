"""The history as CSV from a real server: whole, and whoever reads it slowly keeps nobody waiting."""

import csv
import io
import socket
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPResponse

import httpx
import pytest

from sessions_app.models import EndedSession
from silo.database import POOL_MAX_SIZE
from tests.processes.connections import connect, get
from tests.waiting import eventually

PATH = "/api/edit-sessions/history?format=csv"
COUNT = 4500


@pytest.fixture
def record(committed_db):
    """Four pages and a half, larger than what sockets buffer."""
    now = datetime.now(UTC)
    rows = [
        EndedSession(
            item_id=uuid.uuid4(),
            part_number=f"A-{number}",
            user_id=1,
            username="ada",
            workstation_id=uuid.uuid4(),
            workstation_name="w",
            context_level="sketch",
            fencing_token=number,
            acquired_at=now,
            last_heartbeat=now,
            reason="released",
            note="n" * 2000,
        )
        for number in range(COUNT)
    ]
    # In batches: a transaction in which this program thinks for long is ended.
    EndedSession.objects.bulk_create(rows, batch_size=500)


def test_it_is_whole_and_a_reader_that_stops_keeps_no_place_and_no_connection(
    serve, client_of, record
):
    server = serve()
    ada = client_of(server)
    with ExitStack() as stack:
        for _ in range(POOL_MAX_SIZE + 1):
            reader = stack.enter_context(connect(server))
            reader.sendall(get(ada, PATH))
            # The answer has begun. No more of it is read.
            assert reader.recv(1)
        answer = eventually(lambda: ada.call("GET", PATH), "an answer")
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "X-Next" not in answer.headers
        assert answer.content.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert [int(row["fencing_token"]) for row in rows] == list(range(COUNT))[::-1]
        assert ada.call("GET", "/api/items").status_code == 200
        assert httpx.get(f"{server.url}/ready").status_code == 200
    page = ada.call("GET", f"{PATH}&limit=1000")
    assert len(page.text.splitlines()) == 1001
    assert int(page.headers["X-Next"]) > 0
    assert "Traceback" not in server.output


def test_a_reader_that_has_ended_its_side_gets_the_record_and_nothing_else(
    serve, client_of, record
):
    ada = client_of(serve())
    with connect(ada.server) as reader:
        reader.sendall(get(ada, PATH))
        response = HTTPResponse(reader)
        response.begin()
        reader.shutdown(socket.SHUT_WR)
        text = response.read().decode("utf-8-sig")
    assert "you have ended your side" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["fencing_token"]) for row in rows] == list(range(COUNT))[::-1]
