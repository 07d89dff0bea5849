"""`silo_client`: a stream is replaced without a departure, and nothing is lost or told twice."""

import asyncio
import json
import signal
import threading

import pytest

from sessions_app import operations
from sessions_app.models import EditSession, EndedSession, Workstation
from silo_client import AuthenticationError
from silo_client.common import clock
from silo_client.common.protocol import Plan
from silo_client.common.shared_memory import SharedMemory
from silo_client.helper import event_stream
from silo_client.helper.main import Helper, Parent
from tests.factories import make_item
from tests.waiting import eventually


class InThread(threading.Thread):
    """A helper in a thread of this process, so that its constants can be changed."""

    def __init__(self, client, workstation_id, tmp_path):
        super().__init__(daemon=True)
        self.messages = []
        self.memory = SharedMemory(tmp_path / "memory", new=True)
        self.plan = Plan(
            url=client.server.url,
            token=client.token,
            workstation_id=workstation_id,
            memory=str(self.memory.path),
            touched=str(tmp_path / "touched"),
        )
        self.start()

    def run(self):
        asyncio.run(self._main())

    async def _main(self):
        self.loop = asyncio.get_running_loop()
        parent = Parent(self.memory, lambda line: self.messages.append(json.loads(line)))
        self.helper = Helper(self.plan, self.memory, parent)
        await self.helper.run()

    def told(self, name):
        return [message[name] for message in list(self.messages) if name in message]

    def leave(self):
        self.loop.call_soon_threadsafe(self.helper.carry_out, {"leave": True})
        self.join()


@pytest.fixture
def helper(processes, tmp_path):
    def start(client, workstation_id):
        thread = InThread(client, workstation_id, tmp_path)
        processes.callback(thread.leave)
        eventually(lambda: thread.told("open"))
        return thread

    return start


def test_a_stream_that_is_replaced_while_it_lives_costs_nothing(
    serve, client_of, helper, part, monkeypatch
):
    monkeypatch.setattr(event_stream, "MAX_AGE_SECONDS", 0.5)
    monkeypatch.setattr(event_stream, "STEADY_SECONDS", 0.0)
    ada = client_of(serve())
    bob = client_of(ada.server, "bob")
    bobs = bob.workstation()
    mine = ada.workstation("mine")
    thread = helper(ada, mine)
    session = ada.acquire(part, mine, object_id="mine").json()["session_id"]
    wanted = [session]
    lapses = float("-inf")

    def replaced_while_events_come():
        nonlocal lapses
        told = bob.acquire(part, bobs, object_id=f"{len(wanted)}").json()
        wanted.append(told["session_id"])
        lapses = max(lapses, clock.now() - thread.memory.valid_until)
        return len(thread.told("open")) >= 6

    eventually(replaced_while_events_come, step=0.001)
    eventually(lambda: len(thread.told("event")) >= len(wanted))
    assert [told["session_id"] for told in thread.told("data")] == wanted
    assert lapses < 0, "it was sure all the time"
    assert not thread.told("lapsed")
    assert set(thread.told("interrupted")) == {"it is old"}
    assert Workstation.objects.get(pk=mine).departed_at is None
    assert not EndedSession.objects.exists()
    assert eventually(lambda: ada.server.sse_clients() == 1)


def test_withdrawn_token_is_reported_and_final(serve, client_of, connect, part):
    from sessions_app.models import ApiToken

    ada = client_of(serve())
    refused = []
    workstation = connect(ada, on_refused=refused.append)
    session = workstation.edit(part, level="sketch")
    ApiToken.objects.all().delete()
    eventually(lambda: refused)
    assert isinstance(refused[0], AuthenticationError)
    eventually(lambda: not session.valid)
    with pytest.raises(AuthenticationError):
        workstation.edit(make_item("another").part_number, level="sketch")


def test_a_deleted_workstation_loses_what_it_holds(serve, client_of, connect, part):
    ada = client_of(serve())
    lost, refused = [], []
    workstation = connect(
        ada, on_lost=lambda session, why: lost.append(why.reason), on_refused=refused.append
    )
    session = workstation.edit(part, level="sketch")
    assert ada.call("DELETE", f"/api/workstations/{workstation.id}").status_code == 204
    eventually(lambda: refused)
    assert refused[0].status == 404
    assert lost in ([], ["workstation_deleted"])
    eventually(lambda: not session.valid)
    assert not EditSession.objects.exists()


def test_a_new_epoch_gives_new_tokens(serve, client_of, connect, part):
    ada = client_of(serve())
    workstation = connect(ada)
    session = workstation.edit(part, level="sketch")
    old = session.fencing_token
    operations.epoch.begin()
    eventually(lambda: session.fencing_token > old)
    eventually(lambda: session.valid)
    [held] = ada.held(part)
    assert (held["session_id"], held["fencing_token"]) == (session.id, session.fencing_token)


def test_a_program_is_told_when_it_is_connected_and_certain(ada, connect, part):
    told = []
    workstation = connect(ada, on_state=lambda connected, valid: told.append((connected, valid)))
    eventually(lambda: told == [(True, True)])
    assert workstation.valid
    with workstation.edit(part, level="sketch") as session:
        ada.server.signal(signal.SIGSTOP)
        eventually(lambda: told[-1] == (False, False))
        assert not session.valid
        assert not workstation.valid
        ada.server.signal(signal.SIGCONT)
        eventually(lambda: told[-1] == (True, True))
        assert session.valid or session.lost
