"""The FreeCAD add-on's connection without a server: starting once, logging in, conflicts, asking."""

import threading
from types import SimpleNamespace

import pytest

from silo_client import AuthenticationError, Holder, ServerUnavailableError
from silo_client.credentials import Login, NotLoggedInError
from silo_sessions import connection as module
from silo_sessions.connection import Connection, LogInForm, is_private, kept_ca_file
from silo_sessions.edits import Edits
from silo_sessions.worker import Outcome
from tests.unit.freecad_fakes import HOLDER, FakeServer, FakeView, place
from tests.waiting import eventually

KEPT = Login("https://silo.example", "kept", "/etc/silo-ca.pem")


class FakeWorkstation:
    """Of the client: notes what is done with it."""

    def __init__(self, url, token, **more):
        self.url, self.token, self.more = url, token, more
        self.closed = False
        self.asked = []
        answer = SimpleNamespace(json=lambda: {"user": "ada"})
        self.api = SimpleNamespace(call=lambda *_: answer)

    def close(self, **_):
        self.closed = True

    def request_handoff(self, *given, **_):
        self.asked.append(given)


class Listener:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda *given: self.told.append((name, *given))


@pytest.fixture
def made(monkeypatch):
    """The workstations that were connected, in order."""
    workstations = []

    def connect(url, token, **more):
        workstations.append(FakeWorkstation(url, token, **more))
        return workstations[-1]

    monkeypatch.setattr(module, "Workstation", SimpleNamespace(connect=connect))
    monkeypatch.setattr(module, "current", lambda *_: KEPT)
    return workstations


@pytest.fixture
def kept(monkeypatch):
    """The log-ins that were stored."""
    stored = []
    monkeypatch.setattr(module, "store", stored.append)
    return stored


@pytest.fixture
def connection():
    listener = Listener()
    connection = Connection(lambda call: call(), listener)
    connection.listener = listener
    yield connection
    connection.close()


def settled(connection):
    """Wait until the worker has done what was asked before."""
    done = threading.Event()
    connection._worker.do(done.set)
    assert done.wait(20)


def logged_in(connection, form):
    """Log in; return the outcome."""
    outcomes = []
    connection.log_in(form, outcomes.append)
    eventually(lambda: outcomes, "the answer to the log-in")
    return outcomes[0]


def test_starts_that_pile_up_connect_once(made, connection, monkeypatch):
    go_on = threading.Event()

    def ask_keyring(*_):
        assert go_on.wait(20)
        return KEPT

    monkeypatch.setattr(module, "current", ask_keyring)
    for _ in range(3):
        connection.start()
    go_on.set()
    settled(connection)
    connection.start()
    settled(connection)
    [workstation] = made
    assert not workstation.closed
    assert connection.listener.told == [("on_open",)]


def test_a_start_that_failed_can_be_tried_again(made, connection, monkeypatch):
    def none(*_):
        raise NotLoggedInError("No server is known.")

    monkeypatch.setattr(module, "current", none)
    connection.start()
    settled(connection)
    assert made == []
    assert connection.why == "No server is known."
    monkeypatch.setattr(module, "current", lambda *_: KEPT)
    connection.start()
    settled(connection)
    assert [one.token for one in made] == ["kept"]


def test_a_mistyped_token_leaves_the_connection_and_what_it_holds(
    made, kept, connection, monkeypatch
):
    def refuse(*_):
        raise AuthenticationError(401, "invalid_token", "The token is not valid.", {})

    monkeypatch.setattr(module, "by_token", refuse)
    connection.start()
    outcome = logged_in(connection, LogInForm("https://silo.example", "mistyped"))
    assert isinstance(outcome.error, AuthenticationError)
    [workstation] = made
    assert not workstation.closed
    assert connection.open
    assert connection.listener.told == [("on_open",)]
    assert kept == []


def test_another_log_in_is_checked_connected_and_kept(made, kept, connection, monkeypatch):
    monkeypatch.setattr(module, "by_token", Login)
    connection.start()
    outcome = logged_in(connection, LogInForm(" https://silo.example ", " other "))
    assert outcome == Outcome()
    first, second = made
    assert first.closed
    assert (second.token, second.closed) == ("other", False)
    # The certificates of a server are kept with it.
    assert second.more["ca_file"] == KEPT.ca_file
    assert kept == [Login("https://silo.example", "other", KEPT.ca_file)]


def test_a_user_and_a_password_have_a_token_made(made, kept, connection, monkeypatch):
    asked = []

    def make(url, user, password, ca_file, *, name):
        asked.append((url, user, password, ca_file))
        assert name.startswith("FreeCAD on ")
        return Login(url, "made", ca_file)

    monkeypatch.setattr(module, "by_password", make)
    form = LogInForm("https://silo.example", user="ada", password="secret", ca_file="/ca.pem")
    assert "secret" not in repr(form)
    assert logged_in(connection, form) == Outcome()
    assert asked == [("https://silo.example", "ada", "secret", "/ca.pem")]
    assert [one.token for one in made] == ["made"]
    assert kept == [Login("https://silo.example", "made", "/ca.pem")]


def test_a_server_without_a_log_in_has_no_file_of_certificates(monkeypatch):
    def none(environment):
        raise NotLoggedInError(environment["SILO_URL"])

    monkeypatch.setattr(module, "current", none)
    monkeypatch.delenv("SILO_CA_FILE", raising=False)
    assert kept_ca_file("https://other.example") is None
    monkeypatch.setenv("SILO_CA_FILE", "/named.pem")
    assert kept_ca_file("https://other.example") == "/named.pem"


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://silo.example", True),
        ("http://silo.example", False),
        (" http://10.0.0.1:8000/silo", False),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("http://[", False),
        ("https://", True),
    ],
)
def test_the_dialog_warns_where_others_can_read_the_password(url, private):
    assert is_private(url) is private


def test_a_conflict_that_is_over_is_no_new_one(made, connection):
    connection.start()
    settled(connection)
    more = made[0].more
    more["on_conflict"]("session", "conflict")
    more["on_conflict_over"]("session", "conflict")
    assert connection.listener.told[1:] == [("on_conflict", "session", "conflict"), ("on_change",)]


def test_asking_names_the_session_of_the_holder(made, connection):
    connection.start()
    outcomes = []
    connection.ask(place(), Holder.from_payload(HOLDER), "may I?", outcomes.append)
    settled(connection)
    assert made[0].asked == [("of-ada", "FC-0001", "may I?")]
    assert outcomes == [Outcome()]


def test_without_a_workstation_nothing_is_held_and_what_is_in_use_is_locked_by_the_next():
    server, view = FakeServer(), FakeView()
    edits = Edits(server, view)
    edits.enter(place())
    edits.granted(place("Sketch001"), object())
    edits.disconnected("The token is not valid")
    [hold] = edits.holds
    assert (hold.session, hold.why) == (None, "The token is not valid")
    edits.disconnected("the server cannot be reached")
    assert hold.why == "The token is not valid"
    edits.reconnected()
    server.arrive()
    assert hold.session is not None
    assert hold.why == ""


def test_a_refused_start_is_told(made, connection, monkeypatch):
    error = ServerUnavailableError("away")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(module.Workstation, "connect", fail)
    connection.start()
    settled(connection)
    assert connection.listener.told == [("on_failed", error)]
