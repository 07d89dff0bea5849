"""What the command line prints: times, tables, JSON, errors and exit codes."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from typer.testing import CliRunner

from silo_client.cli import main, output
from silo_client.cli.board import Board, sentence
from silo_client.cli.commands.history import moment
from silo_client.cli.editing import guard
from silo_client.cli.exit_codes import CommandError, ExitCode, explain
from silo_client.cli.options import Level
from silo_client.cli.sessions import Filter, command_for, state, the_one
from silo_client.cli.table import Column
from silo_client.credentials import NotLoggedInError
from silo_client.data import Lock
from silo_client.errors import ServerUnavailableError, SiloError, WaitTimeoutError, refusal

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
SESSION = {
    "session_id": "6f1c",
    "part_number": "DIN 912/M5 [x]",
    "user": "bob",
    "workstation": {"id": "w", "name": "cad-7"},
    "context_level": "sketch",
    "object_id": "Sketch001",
    "acquired_at": "2026-11-26T10:42:00Z",
}


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """This machine's time zone."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("past", "shown"),
    [
        (timedelta(hours=1, minutes=18), "10:42"),
        (timedelta(days=1), "25 Nov 12:00"),
        (timedelta(days=365), "2025-11-26 12:00"),
    ],
)
def test_times_are_as_short_as_they_can_be(past, shown):
    assert output.when(NOW - past, NOW) == shown
    assert output.when(None) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (12_000, "3 h 20 min"), (2e5, "2 d")],
)
def test_durations(seconds, shown):
    assert output.how_long(seconds) == shown


def test_moments_that_a_person_means():
    assert moment("2h", NOW) == NOW - timedelta(hours=2)
    assert moment("2026-11-26") == NOW.replace(hour=0)
    assert moment("2026-11-26 10:42") == NOW.replace(hour=10, minute=42)
    assert moment("2026-11-26T10:42:00Z") == NOW.replace(hour=10, minute=42)
    assert moment("2026-11-26T10:42+02:00") == NOW.replace(hour=8, minute=42)
    for text in ("yesterday", "", "5", "2h 3m"):
        with pytest.raises(CommandError) as raised:
            moment(text)
        assert raised.value.code == ExitCode.USAGE


def test_a_pipe_gets_tabs_and_no_headings(capsys):
    columns = (Column("Part", 0), Column("Object", 2), Column("User", 1))
    long = "x" * 300
    output.show_table(columns, [("A\tB", "", "bob"), ("C", long, "ada")])
    assert capsys.readouterr().out == f"A B\t\tbob\nC\t{long}\tada\n"


def test_a_terminal_gets_headings_and_no_markup(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(output, "out", Console(file=shown, force_terminal=True, color_system=None))
    output.show_table((Column("Part", 0, 12),), [("[bold]A[/]",)])
    assert "Part" in shown.getvalue()
    assert "[bold]A[/]" in shown.getvalue()


def test_json_is_json_whatever_can_be_written(monkeypatch):
    for encoding in ("utf-8", "ascii"):
        raw = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
        output.write_json({"part": "größe"})
        assert json.loads(raw.getvalue().decode(encoding)) == {"part": "größe"}


def test_commands_can_be_typed():
    assert command_for("release", Lock("DIN 912/M5", "sketch", "It's")) == (
        "silo release 'DIN 912/M5' --level sketch --object 'It'\"'\"'s'"
    )


def test_which_sessions_are_meant():
    assert SESSION in Filter()
    assert SESSION in Filter("DIN 912/M5 [x]", Level.sketch, "Sketch001")
    assert SESSION not in Filter(object_id="")
    assert SESSION not in Filter(level=Level.assembly)
    assert the_one([SESSION], "none") is SESSION
    with pytest.raises(CommandError) as none:
        the_one([], "none")
    assert none.value.code == ExitCode.NOT_FOUND
    with pytest.raises(CommandError) as several:
        the_one([SESSION, SESSION], "none")
    assert several.value.code == ExitCode.USAGE
    assert "DIN 912/M5 [x] / sketch / Sketch001: bob on cad-7 since" in several.value.lines[0]


def test_states():
    assert state(SESSION) == ""
    past = (datetime.now(UTC) - timedelta(minutes=12)).isoformat()
    assert state(SESSION | {"idle_since": past}) == "idle 12 min"
    assert state(SESSION | {"connected": True}) == state(SESSION | {"connected": None}) == ""
    assert state(SESSION | {"connected": False, "idle_since": past}) == "not connected"
    gone = {"idle_since": past, "away_since": past, "connected": False}
    assert state(SESSION | gone) == "away 12 min"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotLoggedInError("No."), ExitCode.NOT_LOGGED_IN),
        (refusal(401, {"error": "code", "message": "No."}), ExitCode.NOT_LOGGED_IN),
        (refusal(403, {"error": "code", "message": "No."}), ExitCode.NOT_ALLOWED),
        (refusal(404, {"error": "code", "message": "No."}), ExitCode.NOT_FOUND),
        (refusal(409, {"error": "hard_interference", "message": "Held"}), ExitCode.HELD),
        (refusal(409, {"error": "own_session", "message": "Own."}), ExitCode.ERROR),
        (refusal(422, {"error": "code", "message": "No."}), ExitCode.USAGE),
        (refusal(500, {"error": "code", "message": "No."}), ExitCode.ERROR),
        (WaitTimeoutError("Late."), ExitCode.TIMED_OUT),
        (ServerUnavailableError("Gone."), ExitCode.UNREACHABLE),
        (SiloError("What?"), ExitCode.ERROR),
    ],
)
def test_every_error_has_its_code_and_a_sentence(error, code):
    told = explain(error)
    assert told.code == code
    assert told.message.endswith((".", "?"))
    assert told.code.reason


def test_faults_are_told_once():
    faults = [{"where": "body.a", "why": "no"}, {"where": "body.b", "why": "never"}]
    told = explain(refusal(422, {"error": "invalid", "message": "body.a: no.", "faults": faults}))
    assert told.message == "body.a: no. (body.b: never)"


def test_a_certificate_of_ones_own_authority():
    told = explain(ServerUnavailableError("x cannot be reached: [SSL: CERTIFICATE_VERIFY_FAILED]"))
    assert "--ca-file" in told.advice


MET = {
    "session_id": "s9",
    "user": "eve",
    "user_name": "Eve Noyce",
    "workstation": {"id": "w9", "name": "cad-9"},
}


def test_a_board_marks_who_may_conflict_until_the_other_ends():
    board = Board("All parts")
    board.fill([SESSION | {"note": "until Friday"}])
    board.mark([SESSION | {"interference": "soft", "interferes_with": [MET]}])
    shown = _shown(board)
    assert "may conflict with eve (Eve Noyce) on cad-9" in shown
    assert "until Friday" in shown
    board.apply("edit.session_released", SESSION | {"session_id": "s9", "reason": "released"})
    assert "may conflict" not in _shown(board).partition("\n\n")[2].partition("\n\n")[0]


def test_a_board_takes_events_in_twice_and_late():
    board = Board("All parts")
    board.connected = True
    board.fill([SESSION])
    board.apply("edit.session_acquired", SESSION)
    past = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    board.apply("edit.session_idle", SESSION | {"idle_since": past})
    assert "idle 5 min" in _shown(board)
    board.apply("edit.session_active", SESSION | {"idle_since": past})
    board.apply("edit.session_away", SESSION | {"away_since": past})
    assert "away 5 min" in _shown(board)
    board.apply("edit.session_back", SESSION | {"away_since": past})
    assert "1 being edited" in _shown(board)
    for _ in range(2):
        board.apply("edit.session_released", SESSION | {"reason": "released"})
    board.apply("edit.session_idle", SESSION | {"idle_since": past})
    board.apply("stream-open", {})
    assert "0 being edited" in _shown(board)
    board.connected = False
    assert "No connection" in _shown(board)


def _shown(board):
    console = Console(file=io.StringIO(), width=200)
    console.print(board)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("event", "more", "words"),
    [
        ("edit.session_acquired", {}, "is editing it"),
        ("edit.session_acquired", {"interference": "soft"}, "and may conflict with others"),
        (
            "edit.session_acquired",
            {"interference": "soft", "interferes_with": [MET], "note": "until Friday"},
            "and may conflict with eve (Eve Noyce) on cad-9 (“until Friday”)",
        ),
        ("edit.session_released", {"reason": "released"}, "is no longer editing it"),
        ("edit.session_released", {"reason": "disconnected"}, "the connection to the machine"),
        ("edit.session_released", {"reason": "workstation_deleted"}, "it was deleted"),
        ("edit.session_released", {"reason": "news"}, "editing it: news"),
        ("edit.session_away", {}, "is away"),
        ("edit.news", {}, "edit.news"),
    ],
)
def test_events_in_words(event, more, words):
    told = sentence(event, SESSION | more)
    assert told.startswith("DIN 912/M5 [x] / sketch / Sketch001: bob on cad-7 ")
    assert told.endswith(words)


@pytest.mark.parametrize(
    ("length", "words"),
    [(0, "nobody waits in line"), (1, "1 waits in line"), (7, "7 wait in line")],
)
def test_a_line_in_words(length, words):
    line = {
        "item_id": "i",
        "part_number": "DIN 912/M5",
        "context_level": "sketch",
        "object_id": "Sketch001",
        "length": length,
    }
    assert sentence("edit.line_changed", line) == f"DIN 912/M5 / sketch / Sketch001: {words}"
    board = Board("Parts")
    board.apply("edit.line_changed", line)
    assert words in _shown(board)


def test_the_help_names_every_exit_code():
    shown = CliRunner().invoke(main.app, ["--help"], env={"COLUMNS": "200"}).output
    for code in ExitCode:
        assert f"{int(code)}: {code.reason}" in shown


@pytest.mark.parametrize("command", [one.callback.__name__ for one in main.app.registered_commands])
def test_every_command_has_help_and_flags_that_take_no_value(command):
    done = CliRunner().invoke(main.app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output
    assert "--help" in done.output
    assert "bool" not in done.output.lower()


def test_a_mistake_in_silo_shows_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["silo", "who"])
    monkeypatch.setattr("silo_client.cli.commands.lists.connected", lambda: 1 / 0)
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == ExitCode.ERROR
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "Traceback" not in told


def test_a_lost_session_ends_the_command_though_nobody_can_be_told(monkeypatch):
    ended = []

    def fail():
        raise OSError("the terminal is gone")

    monkeypatch.setattr(guard.err, "bell", fail)
    watching = guard.Guard(None, lambda: ended.append(1))
    with pytest.raises(OSError, match="gone"):
        watching.say_lost(None, None)
    assert ended
    assert watching.lost.is_set()
