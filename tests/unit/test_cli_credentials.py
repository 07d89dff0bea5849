"""Where the command line keeps addresses and tokens, and which of them it uses."""

import json
import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import keyring
import keyring.backend
import keyring.errors
import pytest
from keyring.backends import fail

from silo_client import credentials
from silo_client.cli.commands import login
from silo_client.cli.exit_codes import CommandError
from silo_client.credentials import CredentialsError, Login, NotLoggedInError

ONE = Login("https://one.example", "token-1", "/ca.pem")
TWO = Login("https://two.example", "token-2")


class Keys(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1
    name = "Keys"

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        if (service, username) not in self.kept:
            raise keyring.errors.PasswordDeleteError
        del self.kept[service, username]


class Locked(Keys):
    """One that its user does not unlock."""

    def set_password(self, service, username, password):
        raise keyring.errors.KeyringLocked("no")


class Forgetful(Keys):
    """One that keeps nothing, and does not say so."""

    def set_password(self, service, username, password):
        pass


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SILO_CONFIG_HOME", str(tmp_path / "silo"))
    for name in ("SILO_URL", "SILO_TOKEN", "SILO_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "silo"


@pytest.fixture
def use():
    """Have a backend used."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture
def no_keyring(use):
    use(fail.Keyring())


@pytest.fixture
def keys(use):
    made = Keys()
    use(made)
    return made


def file(folder):
    return folder / "credentials.json"


@pytest.mark.usefixtures("no_keyring")
def test_without_a_keyring_a_file_that_only_its_owner_can_read(folder):
    where = credentials.store(ONE)
    assert str(file(folder)) in where
    assert stat.S_IMODE(file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {entry.name for entry in folder.iterdir()}
    assert names == {"credentials.json", "credentials.lock"}
    assert credentials.current() == ONE


@pytest.mark.usefixtures("no_keyring")
def test_an_open_file_is_closed_to_others_when_it_is_written(folder):
    folder.mkdir()
    file(folder).write_text("{}")
    file(folder).chmod(0o644)
    credentials.store(ONE)
    assert stat.S_IMODE(file(folder).stat().st_mode) == 0o600


def test_with_a_keyring_the_file_has_no_token(folder, keys):
    assert "keyring (Keys)" in credentials.store(ONE)
    assert keys.kept == {("silo", ONE.url): ONE.token}
    assert ONE.token not in file(folder).read_text()
    assert credentials.current() == ONE
    assert credentials.forget(ONE.url)
    assert keys.kept == {}


@pytest.mark.parametrize("kind", [Locked, Forgetful])
def test_a_keyring_that_keeps_nothing_is_not_believed(folder, use, kind):
    use(kind())
    assert str(file(folder)) in credentials.store(ONE)
    assert credentials.current() == ONE


def test_the_package_may_not_be_there(folder, monkeypatch, keys):
    credentials.store(ONE)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(NotLoggedInError, match="keyring"):
        credentials.current()
    assert str(file(folder)) in credentials.store(ONE)
    assert credentials.current() == ONE


@pytest.mark.usefixtures("no_keyring")
def test_the_environment_overrides(monkeypatch):
    credentials.store(ONE)
    monkeypatch.setenv("SILO_TOKEN", "other")
    monkeypatch.setenv("SILO_CA_FILE", "/other.pem")
    assert credentials.current() == Login(ONE.url, "other", "/other.pem")
    monkeypatch.setenv("SILO_URL", "https://three.example/")
    assert credentials.current() == Login("https://three.example", "other", "/other.pem")


@pytest.mark.usefixtures("no_keyring")
def test_a_token_is_for_its_server_alone(monkeypatch):
    credentials.store(ONE)
    credentials.store(TWO)
    assert credentials.current() == TWO
    monkeypatch.setenv("SILO_URL", ONE.url)
    assert credentials.current() == ONE
    monkeypatch.setenv("SILO_URL", "https://three.example")
    told = r"no token for https://three\.example; you are logged in to https://two\.example"
    with pytest.raises(NotLoggedInError, match=told):
        credentials.current()


def test_a_complete_environment_needs_no_file(folder, monkeypatch):
    folder.mkdir()
    file(folder).write_text("nonsense")
    monkeypatch.setenv("SILO_URL", "https://three.example")
    monkeypatch.setenv("SILO_TOKEN", "token")
    assert credentials.current() == Login("https://three.example", "token")


@pytest.mark.usefixtures("no_keyring")
@pytest.mark.parametrize("written", [b"nonsense", b"\xff", b"[]", b'{"servers": 1}'])
def test_a_file_that_something_else_has_written_is_replaced(folder, written):
    folder.mkdir()
    file(folder).write_bytes(written)
    with pytest.raises(CredentialsError):
        credentials.current()
    credentials.store(ONE)
    assert credentials.current() == ONE


@pytest.mark.usefixtures("no_keyring")
def test_a_file_that_cannot_be_read_for_a_moment_loses_nothing(folder, monkeypatch):
    credentials.store(ONE)

    def fails(*_, **__):
        raise PermissionError(13, "used by another process")

    with monkeypatch.context() as moment:
        moment.setattr(credentials.Path, "read_text", fails)
        with pytest.raises(CredentialsError, match="another process"):
            credentials.store(TWO)
    credentials.store(TWO)
    assert json.loads(file(folder).read_text())["servers"].keys() == {ONE.url, TWO.url}


@pytest.mark.usefixtures("no_keyring")
def test_forgotten_login_is_gone(folder):
    assert not credentials.forget(ONE.url)
    credentials.store(ONE)
    credentials.store(TWO)
    assert credentials.forget(TWO.url)
    assert TWO.token not in file(folder).read_text()
    with pytest.raises(NotLoggedInError):
        credentials.current()
    assert credentials.kept_url() == ""


@pytest.mark.usefixtures("no_keyring")
def test_one_kept_with_a_slash_is_the_same_server():
    credentials.store(Login(f"{ONE.url}/", ONE.token))
    assert credentials.kept_url() == ONE.url
    assert credentials.forget(f"{ONE.url}/")


@pytest.mark.usefixtures("no_keyring")
def test_programs_that_log_in_at_once_lose_nothing(folder):
    urls = [f"https://{number}.example" for number in range(24)]
    with ThreadPoolExecutor(8) as programs:
        list(programs.map(lambda url: credentials.store(Login(url, "t")), urls))
    assert set(json.loads(file(folder).read_text())["servers"]) == set(urls)
    with ThreadPoolExecutor(8) as programs:
        assert all(programs.map(credentials.forget, urls))
    assert json.loads(file(folder).read_text()) == {"servers": {}, "current": None}


@pytest.mark.usefixtures("no_keyring")
def test_a_program_that_hangs_with_the_file_is_named(folder, monkeypatch):
    monkeypatch.setattr(credentials, "LOCK_SECONDS", 0.0)
    with credentials._locked(), pytest.raises(CredentialsError, match=r"credentials\.lock"):
        credentials.store(ONE)
    credentials.store(ONE)


def test_a_folder_that_cannot_be_written(folder, monkeypatch, use):
    use(fail.Keyring())
    folder.parent.joinpath("file").write_text("")
    monkeypatch.setenv("SILO_CONFIG_HOME", str(folder.parent / "file" / "silo"))
    with pytest.raises(CredentialsError):
        credentials.store(ONE)


def test_no_token_is_shown():
    assert ONE.token not in repr(ONE)


@pytest.mark.parametrize(
    ("url", "user", "said"),
    [
        ("http://silo.example.com", "ada", "can read your password and the token."),
        ("http://silo.example.com", None, "can read the token."),
        ("http://127.0.0.1:8000", "ada", ""),
        ("https://silo.example.com", "ada", ""),
    ],
)
def test_who_listens_is_said_before_a_secret_is_asked_for(monkeypatch, capsys, url, user, said):
    def asked(*_):
        raise CommandError("asked for it")

    monkeypatch.setattr(login, "_secret", asked)
    with pytest.raises(CommandError, match="asked for it"):
        login.login(url, user=user)
    shown = capsys.readouterr().err
    assert said in shown
    assert bool(shown) == bool(said)
