"""Tables on terminals of any size: a row is one line, and what has no room is left out by rank, or counted."""

import io
import sys
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from silo_client.cli import main, output, sessions
from silo_client.cli.board import Board
from silo_client.cli.commands import history, lists
from silo_client.cli.exit_codes import ExitCode
from silo_client.cli.table import Column

TABLES = (sessions.COLUMNS, history.COLUMNS, lists.LINE_COLUMNS, lists.ITEM_COLUMNS)
LONG = "設計部の山田太郎さんの部品 with a very long name indeed, " * 3


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """This machine's time zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def session(number, **more):
    return {
        "session_id": f"s{number}",
        "part_number": f"A01-{number:04}",
        "context_level": "partdesign",
        "object_id": "Sketch001",
        "user": "taro",
        "user_name": "山田太郎",
        "workstation": {"id": "w", "name": "cad-workstation-17 (silo 1)"},
        "acquired_at": f"2025-11-26T10:42:00.{number:06}Z",
        "away_since": "2025-11-26T10:42:00Z",
        "note": LONG,
        **more,
    }


def on_terminal(shown, width, height=25):
    """What a terminal of this size shows, as lines."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=width, height=height)
    console.print(shown)
    return file.getvalue().splitlines()


@pytest.fixture
def terminal(monkeypatch):
    """Make the output a terminal of some width; return what reads it."""

    def make(width):
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=True, color_system=None, width=width)
        monkeypatch.setattr(output, "out", console)
        return lambda: shown.getvalue().splitlines()

    return make


@pytest.mark.parametrize("width", [20, 44, 80, 120, 2000])
@pytest.mark.parametrize("columns", TABLES)
def test_a_row_is_one_line(terminal, columns, width):
    read = terminal(width)
    output.show_table(columns, [[LONG] * len(columns), ["x"] * len(columns)])
    lines = read()
    assert len(lines) == 4, "headings, the rule and two rows"
    assert all(cell_len(line) <= width for line in lines)
    assert columns[0].name in lines[0]
    assert ("…" in lines[2]) == (width < 2000)


def test_columns_go_by_rank_and_empty_ones_first(terminal):
    def headings(width, **more):
        read = terminal(width)
        output.show_table(sessions.COLUMNS, [sessions.row(session(1, **more))])
        return read()[0].split()

    everything = [column.name for column in sessions.COLUMNS]
    assert headings(200) == everything
    assert headings(80) == ["Part", "Object", "User", "Workstation", "Since", "State"]
    assert headings(44) == ["Part", "User", "State"]
    assert headings(12) == ["Part"]
    # Columns without content leave their room to others.
    assert headings(200, note="", object_id="") == [
        one for one in everything if one not in ("Note", "Object")
    ]


def test_a_short_content_is_not_cut_where_a_long_one_can_be(terminal):
    read = terminal(44)
    output.show_table((Column("Part", 0, 12), Column("Description", 1)), [("A01-0002", LONG)])
    row = read()[2]
    assert "A01-0002 " in row
    assert row.endswith("…")
    # The last character may be two cells wide.
    assert 43 <= cell_len(row) <= 44


@pytest.mark.parametrize("width", [44, 80])
@pytest.mark.parametrize("height", [6, 12, 25])
def test_a_board_counts_what_it_does_not_show_and_keeps_the_latest_event(width, height):
    board = Board("All parts")
    board.connected = True
    board.fill(session(number) for number in range(60))
    for number in range(60, 70):
        board.apply("edit.session_acquired", session(number))
    lines = on_terminal(board, width, height)
    assert len(lines) < height
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0] == "All parts: 70 being edited"
    # Of all the events the last one.
    assert lines[-1] == "10:42:00  A01-0069: taro is editing it"
    rows = [line for line in lines if line.startswith(" A01-")]
    assert f"and {70 - len(rows)} more: `silo who` lists all" in lines
    assert len(rows) == {6: 0, 12: 3, 25: 13}[height]
    assert [row.split()[0] for row in rows] == [f"A01-{69 - at:04}" for at in range(len(rows))]


def test_a_board_with_room_shows_all_and_counts_nothing():
    board = Board("All parts")
    assert on_terminal(board, 80) == ["No connection; trying again. All parts: 0 being edited"]
    board.connected = True
    board.fill([session(1)])
    for number in range(5):
        board.apply("edit.session_acquired", session(number))
    lines = on_terminal(board, 80)
    assert len([line for line in lines if line.startswith(" A01-")]) == 5
    assert len([line for line in lines if "taro is editing it" in line]) == 5
    assert not [line for line in lines if "more" in line]


def test_a_variable_makes_no_terminal_of_a_pipe(monkeypatch, capsys):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1")
    console = output._Console(highlight=False)
    assert not console.is_terminal
    monkeypatch.setattr(output, "out", console)
    output.show_table((Column("Part", 0), Column("Note", 1)), [("A", LONG.strip())])
    assert capsys.readouterr().out == f"A\t{LONG.strip()}\n"


class Api:
    """An API that has one session, of taro, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def sessions(self, **filters):
        self.asked.append(filters)
        return ([] if filters.get("user") == "nobody" else [session(1)]), "7"

    def sessions_of(self, part):
        self.asked.append(part)
        return {"sessions": [session(1)], "cursor": "7", "next": None}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], [{"all": "true"}]),
        (["A1"], ["A1"]),
        (["--mine"], [{}]),
        (["A1", "--mine"], [{"item": "A1"}]),
        (["--user", "taro"], [{"user": "taro", "all": "true"}]),
        (["A1", "-u", "nobody"], [{"item": "A1", "user": "nobody", "all": "true"}, "A1"]),
    ],
)
def test_who_asks_the_server_for_what_is_wanted(monkeypatch, capsys, words, asked):
    api = Api()
    monkeypatch.setattr(lists, "connected", lambda: api)
    monkeypatch.setattr(sys, "argv", ["silo", "who", *words])
    assert main._code() == 0
    assert api.asked == asked
    told = capsys.readouterr()
    if "nobody" in words:
        assert told.err == "silo: nobody is not editing A1.\n"
    else:
        assert told.out.startswith("A01-0001\t")


def test_mine_and_another_users_exclude_each_other(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["silo", "who", "--mine", "--user", "ada"])
    assert main._code() == ExitCode.USAGE
    assert "cannot be combined" in capsys.readouterr().err
