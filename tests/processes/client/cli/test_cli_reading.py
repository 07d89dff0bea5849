"""`silo who`, `items`, `history` and `watch` at a real server."""

import csv
import io
import os
import pty
import signal
import subprocess

from django.core.management import call_command

from tests.factories import make_item
from tests.processes.client.cli_user import SILO
from tests.waiting import eventually


def events(watching):
    """The names of the events that `watch --json` has told."""
    return [one["event"] for one in watching.news]


def told(watching, event):
    """Wait for an event; return its data."""
    found = eventually(
        lambda: [one for one in watching.news if one["event"] == event],
        f"{event} in {watching.output}",
    )
    return found[0]["data"]


def test_who_in_json_is_what_the_api_says(ada, part, gate):
    ada.edit(part, gate.command())
    of_part, of_all = ada.json("who", part), ada.json("who")
    assert set(of_part) == {"sessions", "cursor", "next"}
    assert set(of_all) == {"sessions", "cursor", "next"}
    [session] = of_all["sessions"]
    assert session["part_number"] == part
    assert session["acquired_at"].endswith("Z")
    assert [one["id"] for one in of_part["sessions"]] == [session["id"]]


def test_who_of_one_user_and_whose_workstation_is_connected(ada, bob, part, gate):
    ada.edit(part, gate.command())
    # Before its stream is open, which here never is.
    bob.client.acquire(part, bob.client.workstation(), object_id="Sketch001")

    def shown(user, *words):
        lines = user.run("who", *words, FORCE_COLOR="1").stdout.splitlines()
        return [(row[3], row[6].partition(",")[0]) for row in (line.split("\t") for line in lines)]

    [(_, mine)] = shown(bob, "--mine")
    assert mine == "not connected"
    [(who, theirs)] = shown(bob, part, "--user", "ada")
    assert (who, theirs.startswith("may conflict with bob on")) == ("ada", True)
    assert [who for who, _ in shown(ada, part)] == ["ada", "bob"]
    nothing = ada.run("who", part, "--user", "carol")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == f"silo: carol is not editing {part}.\n"
    assert ada.run("who", "no such/part", "--mine").returncode == 5


def test_who_of_a_part_that_does_not_exist(ada):
    done = ada.run("who", "no such/part")
    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        "silo: There is no part 'no such/part'.",
        "silo: `silo items TEXT` looks for parts by number or description.",
    ]
    for command in ("edit", "line", "watch", "history", "release", "handoff"):
        other = ada.run(command, "no such/part")
        assert other.returncode == 5
        assert "There is no part 'no such/part'." in other.stderr
    table = ada.run("history", "no such/part", "--csv")
    assert (table.returncode, table.stdout) == (5, "")
    assert "There is no part 'no such/part'." in table.stderr
    asked = ada.run("request", "no such/part", "-m", "please")
    assert asked.returncode == 5
    assert "There is no part 'no such/part'." in asked.stderr


def test_items(ada, part):
    for number in range(5):
        make_item(f"A01-{number:04}")
    assert ada.run("items", "größe").stdout == f"{part}\t\t\n"
    some = ada.run("items", "A01", "--limit", "3")
    assert len(some.stdout.splitlines()) == 3
    assert "There are more" in some.stderr
    assert len(ada.json("items", "A01")["items"]) == 5


def test_history(ada, part):
    for code in (0, 1):
        assert ada.run("edit", part, "--", "sh", "-c", f"exit {code}").returncode == code
    rows = [line.split("\t") for line in ada.run("history", part).stdout.splitlines()]
    assert [(row[0], row[1], row[3], row[8]) for row in rows] == 2 * [
        (part, "assembly", "ada", "released")
    ]
    assert len(ada.json("history", "--user", "ada", "--since", "1h")["history"]) == 2
    assert ada.json("history", "--until", "2020-01-01")["history"] == []
    assert ada.json("history", "--reason", "expired") == {"history": [], "next": None}
    one = ada.json("history", "--limit", "1")
    assert one["next"] is not None
    table = list(csv.reader(io.StringIO(ada.run("history", "--csv").stdout)))
    assert [row[2] for row in table] == ["part_number", part, part]
    assert table[0][0].lstrip("\ufeff") == "session_id"
    assert len(ada.run("history", "--csv", "--limit", "1").stdout.splitlines()) == 2
    nothing = ada.run("history", part, "--csv", "--until", "2020-01-01")
    assert (nothing.returncode, len(nothing.stdout.splitlines())) == (0, 1)
    assert ada.run("history", "--since", "yesterday").returncode == 2


def test_watch_tells_each_event_in_a_line(ada, part, gate):
    before = ada.edit(part, gate.command(), "--object", "before")
    watching = ada.start("watch", part, "--json")
    assert [one["object_id"] for one in told(watching, "sessions")["sessions"]] == ["before"]
    told(watching, "stream-open")
    ada.edit(part, gate.command(), "--object", "after")
    assert told(watching, "edit.session_acquired")["object_id"] == "after"
    before.signal(signal.SIGKILL)
    ended = told(watching, "edit.session_released")
    assert (ended["object_id"], ended["reason"]) == ("before", "disconnected")
    assert "heartbeat" not in events(watching)
    watching.signal_group(signal.SIGINT)
    assert watching.wait() == 130
    assert "Traceback" not in watching.output


def test_watch_follows_more_parts_than_fit_in_a_request_line(ada, part, gate):
    names = [make_item(f"{number:02}" + "ü" * 190).part_number for number in range(30)]
    watching = ada.start("watch", part, *names, "--json")
    told(watching, "stream-open")
    ada.edit(part, gate.command())
    assert told(watching, "edit.session_acquired")["part_number"] == part


def test_watch_in_words(ada, part, gate):
    held = ada.edit(part, gate.command())
    watching = ada.start("watch")
    watching.line(f"{part} / assembly: ada on")
    held.signal(signal.SIGKILL)
    line = watching.line("is no longer editing it: the server lost the connection to the machine")
    time, words = line.split("\t")
    assert len(time) == len("10:42:03")
    assert words.startswith(f"{part} / assembly: ada on")


def test_watch_comes_back_and_misses_nothing(ada, serve, part, gate):
    watching = ada.start("watch", part, "--json")
    told(watching, "stream-open")
    server = ada.client.server
    server.signal(signal.SIGSTOP)
    watching.line("The connection to the server is lost")
    other = serve()
    ada.env["SILO_URL"] = other.url
    ada.run("edit", part, "--", "true")
    server.signal(signal.SIGCONT)
    assert told(watching, "edit.session_released")["reason"] == "released"
    assert events(watching).count("edit.session_acquired") == 1
    assert events(watching).count("sessions") == 1


def test_watch_reads_the_lists_again_where_events_may_be_missing(ada, part, gate):
    ada.edit(part, gate.command())
    watching = ada.start("watch", part, "--json")
    told(watching, "stream-open")
    call_command("newepoch", stdout=io.StringIO())
    told(watching, "stream-reset")
    eventually(lambda: events(watching).count("sessions") == 2, "the lists again")
    first, second = (one["data"] for one in watching.news if one["event"] == "sessions")
    assert second["sessions"][0]["id"] == first["sessions"][0]["id"]
    assert second["sessions"][0]["fencing_token"] > first["sessions"][0]["fencing_token"]


def test_watch_is_a_table_on_a_terminal(ada, part, gate):
    ours, its = pty.openpty()
    env = ada.env | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    watching = subprocess.Popen([*SILO, "watch"], stdin=its, stdout=its, stderr=its, env=env)
    os.close(its)
    shown = b""

    def read(until):
        nonlocal shown
        while until not in shown:
            shown += os.read(ours, 1000)
        shown = b""

    try:
        read(b"All parts: 0 being edited")
        ada.edit(part, gate.command())
        read(b"1 being edited")
        gate.open()
        read(b"is no longer editing it")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)


def test_a_server_that_is_not_there(ada, part):
    ada.client.server.kill()
    done = ada.run("who")
    assert done.returncode == 8
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
