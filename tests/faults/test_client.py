"""What happens to `session.valid` in each fault: it is false before the server could give the lock to anybody else."""

import os
import signal
import time

import pytest

from events_app.log import event_log
from sessions_app.models import EditSession, EndedSession
from silo_client import Lost
from silo_client.common import clock
from tests.factories import let_go
from tests.faults.measuring import keep_margin
from tests.faults.services import database_address, database_url_by
from tests.ports import reserved
from tests.waiting import eventually

RELEASED = "edit.session_released"
GRACE = {"SILO_DISCONNECT_GRACE_SECONDS": "3"}
# Who does not acknowledge is gone after 1.25 s.
ACK = {"SILO_DEAD_PEER_SECONDS": "2"}


@pytest.fixture
def held(run_program, client_of, part):
    """A program that holds a session and looks at it all the time, and who watches the part."""

    def make(client, watched=None, **options):
        watching = client_of(watched or client.server, "bob").stream(item=part)
        program = run_program(client, **options)
        program.edit(part)
        program.ask("watch")
        eventually(lambda: program.ask("spans"))
        return program, watching

    return make


@pytest.fixture
def proxied(serve, client_of, tcp_proxy):
    """A client behind a proxy, and the server."""

    def make(**env):
        server = serve(**env)
        ada = client_of(server)
        proxy = tcp_proxy(server.url.removeprefix("http://"))
        ada.server = proxy
        return ada, server, proxy

    return make


def check_was_unsure_in_time(program, fault):
    """Compare when the session was last valid with when it was released, both by clocks of this machine."""
    released = EndedSession.objects.get().released_at.timestamp() - (time.time() - clock.now())
    spans = program.ask("spans")
    assert spans[0][0] < released
    keep_margin(fault, released - spans[-1][1])


def check_kept(program, watching):
    """It is valid again, and nothing was ever released."""
    eventually(lambda: program.ask("valid") == [True])
    assert not watching.named(RELEASED)
    assert EditSession.objects.count() == 1


@pytest.mark.parametrize("grace", [{}, GRACE], ids=["none", "3 s"])
def test_a_pulled_cable(network, network_serve, client_of, held, part, grace):
    env = {"SILO_DEAD_PEER_SECONDS": "5", "SILO_HEARTBEAT_SECONDS": "2"} | grace
    ada = client_of(network_serve(**env))
    program, watching = held(ada, before=network.command())
    network.pull()
    watching.event(RELEASED, reason="disconnected")
    check_was_unsure_in_time(program, f"cable pulled, grace {'3 s' if grace else 'none'}")


@pytest.mark.parametrize("grace", [{}, GRACE], ids=["none", "3 s"])
def test_a_stopped_helper(serve, client_of, held, grace):
    ada = client_of(serve(**ACK, **grace))
    program, watching = held(ada)
    os.kill(program.helper_pid, signal.SIGSTOP)
    watching.event(RELEASED, reason="disconnected")
    check_was_unsure_in_time(program, f"helper stopped, grace {'3 s' if grace else 'none'}")
    os.kill(program.helper_pid, signal.SIGCONT)
    program.heard(reason="disconnected")
    check_was_unsure_in_time(program, f"helper stopped, grace {'3 s' if grace else 'none'}")


@pytest.mark.parametrize("grace", [{}, GRACE], ids=["none", "3 s"])
def test_a_machine_that_stands_still(serve, client_of, held, grace):
    ada = client_of(serve(**ACK, **grace))
    program, watching = held(ada)
    for pid in (program.helper_pid, program.pid):
        os.kill(pid, signal.SIGSTOP)
    watching.event(RELEASED, reason="disconnected")
    # The program first: it looks before its helper can tell it anything.
    for pid in (program.pid, program.helper_pid):
        os.kill(pid, signal.SIGCONT)
    program.heard(reason="disconnected")
    check_was_unsure_in_time(
        program, f"program and helper stopped, grace {'3 s' if grace else 'none'}"
    )


def test_a_connection_that_only_the_server_loses(proxied, held, client_of):
    ada, server, proxy = proxied(**GRACE)
    program, watching = held(ada, watched=server)
    proxy.halve()
    watching.event("edit.session_away")
    watching.event(RELEASED, reason="disconnected")
    check_was_unsure_in_time(program, "only the server loses the connection, grace 3 s")


def test_connections_that_are_reset_and_refused(proxied, held):
    ada, server, proxy = proxied(**GRACE)
    program, watching = held(ada, watched=server)
    proxy.cut()
    watching.event(RELEASED, reason="disconnected")
    check_was_unsure_in_time(program, "connections reset and refused, grace 3 s")


def test_a_network_that_passes_nothing_on(proxied, held):
    ada, server, proxy = proxied(**ACK, **GRACE)
    program, watching = held(ada, watched=server)
    proxy.freeze()
    watching.event(RELEASED, reason="disconnected")
    check_was_unsure_in_time(program, "a proxy passes nothing on, grace 3 s")


def test_who_comes_back_within_the_grace_keeps_all(proxied, held):
    ada, server, proxy = proxied(**GRACE)
    program, watching = held(ada, watched=server)
    proxy.cut()
    watching.event("edit.session_away")
    proxy.mend()
    watching.event("edit.session_back")
    check_kept(program, watching)


def test_a_restarted_server(serve_at, client_of, held, part):
    ada = client_of(serve_at(port := reserved(), **GRACE))
    program, _ = held(ada)
    ada.server.signal(signal.SIGTERM)
    assert ada.server.wait() == 0
    ada.server = serve_at(port, **GRACE)
    eventually(lambda: program.ask("valid") == [True])
    assert len(ada.held(part)) == 1
    assert not EndedSession.objects.exists()


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_is_gone_for_longer_than_the_client_can_be_sure(
    serve_at, client_of, held, part, fault
):
    ada = client_of(serve_at(port := reserved(), **GRACE))
    program, _ = held(ada)
    ada.server.signal(fault)
    eventually(lambda: program.ask("valid") == [False])
    if fault == signal.SIGKILL:
        ada.server = serve_at(port, **GRACE)
    else:
        ada.server.signal(signal.SIGCONT)
    eventually(lambda: program.ask("valid") == [True])
    assert len(ada.held(part)) == 1
    assert not EndedSession.objects.exists()


def test_a_server_that_is_cut_off_from_its_database(serve, client_of, held, tcp_proxy, part):
    proxy = tcp_proxy(database_address())
    ada = client_of(serve(DATABASE_URL=database_url_by(proxy), **GRACE))
    program, _ = held(ada)
    proxy.cut()
    eventually(lambda: program.ask("valid") == [False])
    proxy.mend()
    eventually(lambda: program.ask("valid") == [True])
    assert len(ada.held(part)) == 1
    assert not EndedSession.objects.exists()


def test_what_ended_while_there_was_no_server_is_lost(serve_at, client_of, connect, part):
    ada = client_of(serve_at(port := reserved()))
    lost = []
    workstation = connect(ada, on_lost=lambda *told: lost.append(told))
    kept = workstation.edit(part, level="sketch", object_id="kept")
    gone = workstation.edit(part, level="sketch", object_id="gone")
    ada.server.kill()
    let_go(gone.id)
    # No event can tell it: the log of before cannot be continued.
    event_log.begin_epoch()
    eventually(lambda: not kept.valid)
    ada.server = serve_at(port)
    eventually(lambda: kept.valid)
    eventually(lambda: lost)
    assert lost == [(gone, Lost("released"))]
    assert kept.lost is None
