"""`manage.py serve --workers 2`: two processes on one port, real clients, real signals."""

import os
import signal
import sys
from urllib.parse import urlsplit

import pytest

from events_app.models import Connection, ServerProcess
from sessions_app.models import EditSession, EndedSession
from tests.processes.service import Process, Serve, environment
from tests.system import is_running
from tests.waiting import eventually

# Three processes begin without the libraries loaded, perhaps beside other tests.
START_SECONDS = 60.0
# So many streams are all with one worker once in a thousand runs.
STREAMS = 12


class ServeWorkers(Serve):
    """`manage.py serve --workers 2`."""

    warm = False

    def start_command(self, *command: str) -> list[str]:
        return [*command, "--workers", "2"]

    @property
    def url(self) -> str:
        return self.line("Listening on", START_SECONDS).split()[-1]

    def ready(self) -> "ServeWorkers":
        """Wait until both may be sent traffic."""
        self.line("Listening on", START_SECONDS)
        eventually(lambda: len(pids()) == 2)
        super().ready()
        return self


def pids():
    """The workers that are registered."""
    return set(ServerProcess.objects.values_list("pid", flat=True))


class Workstation:
    """A workstation with a stream at one of the workers."""

    def __init__(self, client, name):
        self.client = client
        self.id = client.workstation(name)
        self.come()

    def come(self, last_event_id=""):
        self.stream = self.client.stream(last_event_id, workstation_id=self.id)
        self.worker = Connection.objects.filter(key=self.id).latest("opened_at").process.pid

    def comes_back(self):
        self.stream.line("closed")
        self.come(self.stream.last_event_id)


@pytest.fixture
def workers(processes):
    server = ServeWorkers()
    processes.callback(server.close)
    return server.ready()


@pytest.fixture
def crew(workers, client_of):
    """Two workstations, one at each worker."""
    ada, found = client_of(workers), {}
    for number in range(STREAMS):
        one = Workstation(ada, f"cad-{number}")
        found.setdefault(one.worker, one)
        if len(found) == 2:
            return tuple(found.values())
    raise AssertionError("one worker got all streams")


def test_a_lock_of_one_is_seen_at_the_other_and_both_stop_together(workers, crew, part, processes):
    here, there = crew
    assert {here.worker, there.worker} == pids()
    there.client.acquire(part, there.id, object_id="O-2")
    session = here.client.acquire(part, here.id, object_id="O-1").json()
    there.stream.event("edit.session_acquired", session_id=session["id"])

    port = str(urlsplit(workers.url).port)
    command = (sys.executable, "manage.py", "serve", "--port", port, "--workers", "2")
    second = Process(*command, env=environment())
    processes.callback(second.close)
    assert second.wait(START_SECONDS) == 1
    assert "Cannot listen on" in second.output

    workers.signal(signal.SIGTERM)
    # How soon one process ends is in `test_serve.py`; here three of them do, perhaps beside other tests.
    assert workers.wait() == 0
    assert not is_running(here.worker)
    assert not is_running(there.worker)
    assert not ServerProcess.objects.exists()
    assert EditSession.objects.count() == 2
    assert not EndedSession.objects.exists()
    assert "Traceback" not in workers.output


def test_a_killed_one_is_replaced_and_its_sessions_wait_for_their_clients(crew, part):
    here, there = crew
    killed = here.worker
    here.client.acquire(part, here.id, object_id="O-1")
    there.client.acquire(part, there.id, object_id="O-2")
    beats = len(there.stream.named("heartbeat"))

    os.kill(killed, signal.SIGKILL)
    # At the other worker, or at the new one, if that has loaded first.
    here.comes_back()

    assert here.worker != killed
    [opened] = here.stream.named("stream-open")
    assert [session["object_id"] for session in opened["data"]["sessions"]] == ["O-1"]
    # The killed one was given up, the new one is there, and nobody has lost anything.
    eventually(lambda: killed not in pids() and len(pids()) == 2, within=START_SECONDS)
    eventually(lambda: len(there.stream.named("heartbeat")) > beats + 1)
    assert EditSession.objects.count() == 2
    here.stream.kill()
    eventually(lambda: EditSession.objects.count() == 1)
    assert EndedSession.objects.get().reason == "disconnected"
    assert EditSession.objects.get().object_id == "O-2"


def test_a_killed_parent_leaves_nobody_behind(workers, crew, part):
    here, _ = crew
    here.client.acquire(part, here.id)
    left = pids()
    workers.signal(signal.SIGKILL)
    eventually(lambda: not any(map(is_running, left)))
    assert not ServerProcess.objects.exists()
    assert EditSession.objects.count() == 1
