"""What others have written cannot forge lines or directions in a terminal or a log, whichever command shows it."""

import io
import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from sessions_app.text import REFUSED, text_fault
from silo_client import (
    ApiError,
    ConfigurationError,
    EditSession,
    HandoffRequest,
    Lock,
    Lost,
    ServerUnavailableError,
)
from silo_client.cli import board, main, output
from silo_client.cli.commands import watch
from silo_client.cli.editing import guard
from silo_client.cli.editing.progress import Progress
from silo_client.cli.options import complete_part
from silo_client.common.visible import get_logger, visible, visible_lines
from silo_client.data import Waiting
from silo_client.helper.event_stream import Unavailable
from silo_client.network.address import check_url

# One of each kind: ends of lines, what terminals obey, directions, what takes no room, a tag, a selector, a filler.
EVIL = "\n\r\v\f\x1b\x07\x85\x9b\u2028\u2029\u202e\u2066\u200f\u061c\u200b\u2060\ufeff\u00ad\U000e0041\ufe0f\u3164"
TEXT = f"a{EVIL}silo: FORGED"
TIME = "2026-11-26T10:42:00Z"
UUID = "6f1c0000-0000-4000-8000-000000000001"

PERSON = {"user": TEXT, "user_name": f"{TEXT}!", "workstation": {"id": UUID, "name": TEXT}}
OF_LOCK = {"part_number": TEXT, "context_level": "sketch", "object_id": TEXT, "item_id": UUID}
SESSION = {
    **PERSON,
    **OF_LOCK,
    "session_id": UUID,
    "fencing_token": 1,
    "acquired_at": TIME,
    "note": TEXT,
    "interferes_with": [{**PERSON, "session_id": UUID}],
}
ENDED = {**SESSION, "released_at": TIME, "reason": TEXT, "ended_by": TEXT}
ITEM = {"part_number": TEXT, "item_type": TEXT, "description": TEXT}
PLACE = {**PERSON, **OF_LOCK, "position": 1, "request_id": UUID, "requested_at": TIME}
PAGE = {"cursor": "1", "next": None}
SEVERAL = [SESSION, {**SESSION, "session_id": UUID[:-1] + "2"}]


class Server:
    """A server that answers every request with the same, and remembers none."""

    def __init__(self):
        self.status, self.answers, self.csv = 200, {}, ""

    def answer(self, path):
        if self.csv:
            return self.csv.encode(), "text/csv; charset=utf-8"
        found = [told for end, told in self.answers.items() if path.endswith(end)]
        return json.dumps(found[0] if found else {}).encode(), "application/json"


@pytest.fixture
def server(monkeypatch):
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body, kind = told.answer(urlsplit(self.path).path)
            self.send_response(told.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("SILO_URL", f"http://127.0.0.1:{http.server_port}")
    monkeypatch.setenv("SILO_TOKEN", "token")
    yield told
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(params=["pipe", "terminal"])
def silo(request, server, monkeypatch, capsys):
    """Run a command; return its exit code and what it has written, both ways."""

    def run(*words):
        if request.param == "terminal":
            for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
                console = Console(
                    file=stream, force_terminal=True, color_system=None, highlight=False, width=5000
                )
                for module in (output, guard):
                    monkeypatch.setattr(module, name, console, raising=False)
        monkeypatch.setattr(sys, "argv", ["silo", *words])
        code = main._code()
        told = capsys.readouterr()
        check(told.err, "silo: ")
        return code, told.out

    return run


def check(text, beginning=""):
    """See that nothing in it is hidden but the ends of its own lines, and that no line is forged."""
    lines = text.replace("\r\n", "\n").replace("\r", "").split("\n")
    for line in lines:
        assert visible(line.replace("\t", " ")) == line.replace("\t", " ")
        assert not line.startswith("silo: FORGED")
        assert not line or line.startswith(beginning)
    return [line for line in lines if line]


def test_it_is_the_rule_of_the_server():
    """What the server refuses is shown as an escape, but for what Unicode will never make a character."""
    everything = map(chr, range(sys.maxunicode + 1))
    for one in everything:
        hidden = visible(one) != one
        nothing_yet = 0xFDD0 <= ord(one) <= 0xFDEF or ord(one) & 0xFFFE == 0xFFFE
        assert hidden == (text_fault(one) is not None and not nothing_yet), ascii(one)
    assert REFUSED


def test_it_is_shown_as_an_escape():
    assert (
        visible("a\u202eb\nc\x1bd\U000e0041 größe 山田　太郎")
        == r"a\u202eb\nc\x1bd\U000e0041 größe 山田　太郎"
    )
    assert visible(TEXT).isprintable()


@pytest.mark.parametrize(
    ("words", "answers", "lines"),
    [
        (("who",), {"/edit-sessions": {**PAGE, "sessions": SEVERAL}}, 2),
        (("line", "A"), {"requests": {"requests": [PLACE]}}, 1),
        (("items",), {"/items": {**PAGE, "items": [ITEM, ITEM, ITEM]}}, 3),
        (("history",), {"/history": {**PAGE, "history": [ENDED]}}, 1),
    ],
)
def test_tables_have_a_line_for_each_row(silo, server, words, answers, lines):
    server.answers = answers
    code, told = silo(*words)
    assert code == 0
    rows = [line for line in check(told) if "FORGED" in line]
    assert len(rows) == lines
    assert r"\u202e" in rows[0]


@pytest.mark.parametrize(
    ("words", "path", "told"),
    [
        (("who", "--json"), "/edit-sessions", {**PAGE, "sessions": SEVERAL}),
        (("line", "A", "--json"), "requests", {"requests": [PLACE]}),
        (("items", "--json"), "/items", {**PAGE, "items": [ITEM]}),
        (("history", "--json"), "/history", {**PAGE, "history": [ENDED]}),
    ],
)
def test_json_stays_what_the_server_has_said(silo, server, words, path, told):
    server.answers = {path: told}
    code, written = silo(*words)
    assert code == 0
    check(written)
    members = told.keys() & {"sessions", "requests", "items", "history"}
    for member in members:
        assert json.loads(written)[member] == told[member]


def test_csv_stays_csv(silo, server):
    server.csv = f'\ufeffpart_number,note\r\n"{TEXT}",b\r\nc,d\r\n'.replace("\n\r\v", "\r\v")
    code, told = silo("history", "--csv")
    assert code == 0
    lines = check(told.removeprefix("\ufeff"))
    assert [line.split(",")[0] for line in lines][::2] == ["part_number", "c"]
    assert r"\x1b" in lines[1]


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (("release",), {"/edit-sessions": {**PAGE, "sessions": SEVERAL}}),
        (("release", "--all"), {"release": {"released": 1}, "/edit-sessions": {**PAGE, "sessions": SEVERAL}}),
        (("release", "A", "--force", "--reason", "x"), {"/edit-sessions": {**PAGE, "sessions": [SESSION]}}),
        (("request", "A", "-m", "x"), {"/edit-sessions": {**PAGE, "sessions": SEVERAL}}),
        (
            ("request", "A", "-m", "x"),
            {
                "/edit-sessions": {**PAGE, "sessions": [SESSION]},
                "workstations": {"workstations": []},
                "requests": {"requests": []},
            },
        ),
        (
            ("handoff", "A"),
            {
                "/edit-sessions": {**PAGE, "sessions": [SESSION]},
                "requests": {"requests": [PLACE]},
                "handoff": SESSION,
            },
        ),
        (
            ("handoff", "A", "--to", TEXT),
            {
                "/edit-sessions": {**PAGE, "sessions": [SESSION]},
                "requests": {"requests": []},
                "handoff": SESSION,
            },
        ),
        (("rename", "A", TEXT), {"rename": {"part_number": TEXT}}),
        (("retire", "A"), {"retire": {"part_number": TEXT}}),
        ((f"no{TEXT}",), {}),
        (("who", f"--no{TEXT}"), {}),
        (("history", "--since", TEXT), {}),
        (("login", f"http://{TEXT}"), {}),
        (("edit", "A", "--", f"no{TEXT}"), {}),
    ],
)  # fmt: skip
def test_each_message_is_one_line(silo, server, words, answers):
    server.answers = answers
    silo(*words)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
@pytest.mark.parametrize("error", [TEXT, "hard_interference", "identity_in_use"])
def test_refusal_of_a_server_is_one_line(silo, server, status, error):
    server.status = status
    faults = [{"where": TEXT, "why": TEXT + "b"}]
    body = {"error": error, "message": TEXT, "faults": faults, "holder": SESSION}
    server.answers = {"": body}
    code, told = silo("who")
    assert code
    assert told == ""


def test_a_watched_board_is_visible():
    shown = io.StringIO()
    one = board.Board(TEXT)
    one.fill([SESSION])
    for event in ("edit.session_acquired", "edit.session_away", "edit.session_released", TEXT):
        one.apply(event, ENDED)
    one.apply("item.renamed", {**ITEM, "item_id": UUID, "old_part_number": TEXT})
    one.fill([SESSION])
    Console(file=shown, force_terminal=True, color_system=None, width=5000).print(one)
    assert len([line for line in check(shown.getvalue()) if "FORGED" in line]) == 7


def test_watch_in_a_pipe_is_visible(capsys):
    watch._line("sessions", "1", {"sessions": SEVERAL})
    watch._line("edit.session_released", "1", ENDED)
    watch._json(TEXT, TEXT, ENDED)
    lines = check(capsys.readouterr().out)
    assert len(lines) == 4
    assert json.loads(lines[3])["data"] == ENDED


def test_messages_to_the_holder_are_visible(capsys):
    api = SimpleNamespace(sessions_of=lambda _: {"sessions": [SESSION]}, verify=_refuse)
    one = guard.Guard(api, lambda: None)
    session = EditSession(SimpleNamespace(is_valid=lambda _: False), SESSION)
    one.say_request(
        HandoffRequest.from_payload(
            {**SESSION, "requester": TEXT, "message": TEXT, "workstation_id": UUID}
        )
    )
    one.keep_refusal(ServerUnavailableError(TEXT))
    for conflict in session.conflicts:
        one.say_conflict(session, conflict)
        one.say_conflict_over(session, conflict)
    one.is_kept(session)
    one.say_lost(session, Lost("force_released", TEXT, TEXT))
    one.say_lost(session, Lost(TEXT, TEXT, TEXT))
    with Progress() as progress:
        progress.waiting(Waiting(Lock.from_payload(SESSION), 1, None, 1.0))
    told = capsys.readouterr().err
    assert len(check(told.replace("\x07", ""), "silo: ")) >= 7
    assert "FORGED" in told
    assert visible(repr(session)) == repr(session)


def _refuse(*_):
    raise ApiError(409, "code", TEXT, {})


@pytest.mark.parametrize(
    "error",
    [ApiError(409, TEXT, TEXT, {}), ServerUnavailableError(TEXT), ConfigurationError(TEXT), Unavailable(TEXT)],
)  # fmt: skip
def test_as_text_an_error_is_one_line_and_its_message_is_as_it_came(error):
    assert check(str(error)) == [visible(TEXT)]
    assert getattr(error, "message", TEXT) == TEXT


def test_log_record_is_one_line_and_its_traceback_indented():
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    logger = get_logger()
    logger.addHandler(handler)
    try:
        logger.warning("%s and %r", TEXT, TEXT)
        try:
            raise ValueError(TEXT)
        except ValueError:
            logger.exception("failed with %s", TEXT)
    finally:
        logger.removeHandler(handler)
    lines = check(told.getvalue())
    assert [line for line in lines if not line.startswith("    ")] == lines[:2]
    assert any(line.startswith("    ValueError: a") for line in lines)


def test_every_logger_of_the_package_is_that_one():
    assert logging.getLogger("silo_client") is get_logger()
    assert sum(type(one).__name__ == "VisibleRecords" for one in get_logger().filters) == 1


def test_the_command_shows_so_what_any_package_logs(monkeypatch):
    told = io.StringIO()
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    monkeypatch.setattr(sys, "stderr", told)
    try:
        main._log_visibly()
        logging.getLogger("other").warning("%s", TEXT)
    finally:
        root.handlers = before
    assert [line.startswith("    ") for line in check(told.getvalue())] == [False, True]


def test_a_mistake_of_ours_is_shown_so_too(silo, monkeypatch):
    def fail(*_):
        raise RuntimeError(TEXT)

    monkeypatch.setattr(main, "readable", fail)
    assert silo("who")[0] == 1
    assert "    silo: FORGED" in visible_lines("x\nsilo: FORGED")


def test_only_what_can_be_typed_is_completed(server, monkeypatch):
    numbers = ["A1", f"A{TEXT}", "A\n2", "A 3", "A\u202e4"]
    server.answers = {"/items": {"items": [{"part_number": one} for one in numbers]}}
    for shell in ("bash", "zsh", "fish", "powershell"):
        monkeypatch.setenv("_SILO_COMPLETE", f"complete_{shell}")
        assert complete_part("A") == ["A1", "A 3"]
    server.answers = {
        "/items": {"items": [{"part_number": one} for one in ('A"', "A'", "A\\", "A$")]}
    }
    monkeypatch.setenv("_SILO_COMPLETE", "complete_zsh")
    assert complete_part("A") == ["A$"]
    monkeypatch.setenv("_SILO_COMPLETE", "complete_fish")
    assert len(complete_part("A")) == 4


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\n", "\x7f"])
def test_an_address_has_nothing_hidden(hidden):
    with pytest.raises(ConfigurationError, match=r"The server URL .* is invalid"):
        check_url(f"https://silo.example.com/{hidden}a")
