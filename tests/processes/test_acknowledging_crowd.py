"""Very many clients with `ack=true` on one server: none of them loses what it has."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from sessions_app.models import EditSession, EndedSession, Item, Workstation
from tests.processes.service import Process

pytestmark = pytest.mark.alone

# In the ratios of the defaults, three times as fast: 150 acknowledgements a second, as those of 4,500 clients.
COUNT = 1500
FAST = {
    "SILO_HEARTBEAT_SECONDS": "10",
    "SILO_DEAD_PEER_SECONDS": "15",
    "SILO_SERVER_DEAD_SECONDS": "3.3",
    # All of one user.
    "SILO_STREAMS_PER_USER": str(COUNT),
}
# Two heartbeats, and the time that a silent client has.
SECONDS = 16


@pytest.fixture
def crowd(processes: Any, tmp_path: Path) -> Callable[..., Process]:
    """Start the clients of these workstations, and wait until all have a stream."""

    def start(url: str, token: str, workstations: Any, seconds: float) -> Process:
        file = tmp_path / "clients"
        file.write_text("\n".join(f"{token} {one.pk}" for one in workstations))
        script = str(Path(__file__).with_name("acknowledging_clients.py"))
        process = Process(sys.executable, script, url, str(file), str(seconds), env={})
        processes.callback(process.close)
        process.line("open", within=60)
        return process

    return start


@pytest.mark.timeout(180)
def test_all_of_a_crowd_that_answers_keep_what_they_have_though_all_are_on_one_item(
    serve, client_of, crowd, part
):
    server = serve(**FAST)
    ada = client_of(server)
    user = get_user_model().objects.get()
    stations = Workstation.objects.bulk_create(
        Workstation(user=user, name=f"cad-{n}", fingerprint=str(n)) for n in range(COUNT)
    )
    item = Item.objects.get(part_number=part)
    EditSession.objects.bulk_create(
        EditSession(
            item=item, workstation=one, user=user, context_level="sketch", object_id=one.name
        )
        for one in stations
    )
    clients = crowd(server.url, ada.token, stations, SECONDS)
    seen = json.loads(clients.line('"lost"', within=SECONDS + 60))
    assert (seen["lost"], seen["refused"]) == (0, {}), seen
    assert seen["heartbeats"] >= 2 * COUNT
    assert EditSession.objects.count() == COUNT
    assert not EndedSession.objects.exists()
