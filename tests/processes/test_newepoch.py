"""`manage.py newepoch` while servers run and clients watch."""

import subprocess
import sys

from tests.processes.service import ROOT, environment


def newepoch() -> None:
    command = [sys.executable, "-W", "error", "manage.py", "newepoch"]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True)


def test_every_stream_is_closed_and_every_old_cursor_is_reset(serve, client_of, part):
    servers = [serve(), serve()]
    ada = client_of(servers[0])
    workstation = ada.workstation()
    own, watcher = ada.stream(workstation_id=workstation), ada.stream(item=part)
    elsewhere = client_of(servers[1], "bob").stream(all="true")
    session = ada.acquire(part, workstation).json()
    for stream in (own, watcher, elsewhere):
        stream.event("edit.session_acquired")
    newepoch()
    for stream in (own, watcher, elsewhere):
        stream.wait()
    again = ada.stream(workstation_id=workstation, last_event_id=own.last_event_id)
    again.event("stream-reset")
    # Nobody lost anything: the server closed the streams.
    [held] = again.event("stream-open")["data"]["sessions"]
    assert held["session_id"] == session["session_id"]
    assert held["fencing_token"] > session["fencing_token"]
    path = f"/api/items/{part.replace('/', '%2F')}/edit-sessions/{session['session_id']}/verify"
    answer = ada.call("POST", path, {"fencing_token": session["fencing_token"]})
    assert (answer.status_code, answer.json()["error"]) == (409, "stale_token")
    assert ada.call("POST", path, {"fencing_token": held["fencing_token"]}).status_code == 200
    # And from here it goes on as ever.
    assert ada.acquire(part, workstation, object_id="B").status_code == 200
    again.event("edit.session_acquired", object_id="B")
