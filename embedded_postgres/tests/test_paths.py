"""Which folders and which programs are used. No server is started here."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from django_embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    accounts,
    base,
    binaries,
    database,
    placement,
    processes,
)
from django_embedded_postgres.accounts import Account

STRANGER = Account(uid=54321, gid=54321)


def status(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "expected"),
    [
        (0o701, 0, 0, True),
        (0o700, 0, 0, False),
        (0o710, 0, 0, False),
        (0o710, 0, STRANGER.gid, True),
        (0o701, 0, STRANGER.gid, False),
        (0o700, STRANGER.uid, 0, True),
        (0o077, STRANGER.uid, STRANGER.gid, False),
    ],
)
def test_the_most_specific_class_of_the_mode_decides(
    mode: int, uid: int, gid: int, expected: bool
) -> None:
    assert accounts.may_enter(status(mode, uid, gid), STRANGER) is expected


def test_the_topmost_closed_folder_is_named(tmp_path: Path) -> None:
    base = Path("/")
    inner = tmp_path / "closed" / "also-closed"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    closed = accounts.first_closed(inner, STRANGER)
    assert closed is not None
    assert closed in inner.parents
    assert accounts.first_closed(base, STRANGER) is None


def test_a_folder_that_is_still_missing_closes_nothing() -> None:
    assert accounts.first_closed(Path("/not-there/at/all"), STRANGER) is None


def test_a_new_folder_lets_the_database_user_pass_where_we_are_root(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        accounts.make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    expected = 0o711 if os.geteuid() == 0 else 0o700
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert folder.stat().st_mode & 0o777 == expected


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    accounts.make_folder(tmp_path / "a")
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("folder", "fits"),
    [
        ("/srv/project/var/postgres/data", True),
        ("/srv/" + "x" * 80, True),
        ("/srv/" + "x" * 90, False),
        ("/srv/" + "ä" * 41, False),
        ("/srv/a,b", False),
    ],
)
def test_a_socket_needs_a_short_path_without_a_comma(folder: str, fits: bool) -> None:
    assert placement.socket_fits(Path(folder)) is fits


def test_a_new_cluster_takes_the_newest_version(tmp_path: Path) -> None:
    available = {18: Path("new"), 16: Path("old")}
    assert binaries.choose_install(available, tmp_path) == (18, Path("new"))


def test_an_existing_cluster_takes_the_version_that_made_it(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("16\n")
    available = {18: Path("new"), 16: Path("old")}
    assert binaries.choose_install(available, tmp_path) == (16, Path("old"))


def test_a_version_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 15.* brings 18 and 16:"):
        binaries.choose_install({18: Path("new"), 16: Path("old")}, tmp_path)


def test_without_the_wheel_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(EmbeddedPostgresError, match=r"not installed: install it"):
        binaries.wheel_folder()


def test_a_wheel_without_binaries_is_told(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="no programs of PostgreSQL"):
        binaries.installs(tmp_path)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    accounts.check_private(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="nobody else can write"):
        accounts.check_private(tmp_path)
    tmp_path.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(EmbeddedPostgresError, match="nobody else can write"):
        accounts.check_private(link)


def test_a_process_of_another_kind_is_no_server(tmp_path: Path) -> None:
    assert not processes.is_server(os.getpid(), tmp_path)


@pytest.mark.skipif(not processes.HAS_PROC, reason="needs /proc")
def test_a_server_is_known_by_its_folder(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "30"], cwd=tmp_path) as process:
        try:
            assert processes.is_server(process.pid, tmp_path)
        finally:
            process.kill()


def test_making_a_handle_starts_and_writes_nothing(tmp_path: Path) -> None:
    EmbeddedPostgres(tmp_path / "var").release()
    assert not (tmp_path / "var").exists()


def test_without_a_descriptor_to_look_by_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ensure_running(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(EmbeddedPostgres, "ensure_running", ensure_running)
    with pytest.raises(OperationalError, match="Too many open files"):
        base._ensure_running(database("/nowhere"))


def test_the_settings_say_what_was_asked_for() -> None:
    entry = database(
        Path("/srv/data"), name="app", user="ada", options={"pool": True}, CONN_MAX_AGE=60
    )
    assert entry == {
        "ENGINE": "django_embedded_postgres",
        "NAME": "app",
        "USER": "ada",
        "OPTIONS": {"pool": True, "folder": "/srv/data", "create": True, "hint": ""},
        "CONN_MAX_AGE": 60,
    }


def test_settings_without_a_folder_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"OPTIONS\['folder'\]"):
        base.server_for({"NAME": "app", "OPTIONS": {}})


def test_two_users_of_one_folder_are_refused() -> None:
    base.server_for(database("/nowhere/else"))
    with pytest.raises(ImproperlyConfigured, match="names two users"):
        base.server_for(database("/nowhere/else", user="ada"))


def test_a_hint_ends_the_message(tmp_path: Path) -> None:
    entry = database(tmp_path / "none", create=False, hint="Ask ada.")
    with pytest.raises(OperationalError, match=r"There is no database in .* first\. Ask ada\.$"):
        base._ensure_running(entry)
    assert not (tmp_path / "none").exists()
