"""`createdemo`: what it makes, what it leaves alone, and that it may be run again."""

from __future__ import annotations

import csv
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models.functions import Now

from sessions_app.authentication import principal_of_token
from sessions_app.management.commands import createdemo
from sessions_app.models import ApiToken, Item
from sessions_app.roles import Role
from sessions_app.text import part_number_fault, text_fault
from tests.factories import make_item, make_token, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def var(tmp_path: Path, settings: LazySettings) -> Path:
    settings.VAR_DIR = tmp_path / "v a r"
    return tmp_path / "v a r"


def create_demo(**options: Any) -> str:
    output = io.StringIO()
    call_command("createdemo", stdout=output, **options)
    return output.getvalue()


def token_in(var: Path) -> str:
    return (var / "demo-token").read_text().strip()


def test_the_demo_user_is_an_editor_whose_token_file_is_private(var: Path) -> None:
    create_demo()
    principal = principal_of_token(token_in(var))
    assert principal is not None
    assert (principal.user.username, principal.role) == ("demo", Role.EDITOR)
    assert (var / "demo-token").stat().st_mode & 0o777 == 0o600
    assert not principal.user.has_usable_password()


def test_a_second_time_changes_nothing(var: Path) -> None:
    first = create_demo(port="8001")
    files = {file: file.read_text() for file in var.iterdir()}
    before = Item.objects.count(), User.objects.count(), ApiToken.objects.count()
    assert create_demo(port="8001") == first
    assert {file: file.read_text() for file in var.iterdir()} == files
    assert (Item.objects.count(), User.objects.count(), ApiToken.objects.count()) == before


def test_a_token_that_is_no_longer_good_is_replaced(var: Path) -> None:
    create_demo()
    revoked = token_in(var)
    ApiToken.objects.update(revoked_at=Now())
    create_demo()
    assert token_in(var) != revoked
    assert principal_of_token(token_in(var)) is not None


@pytest.mark.parametrize("content", [b"", b"silo_garbage\n", b"\xff\xfe", b"two\nlines"])
def test_a_spoilt_token_file_is_replaced(var: Path, content: bytes) -> None:
    var.mkdir()
    (var / "demo-token").write_bytes(content)
    (var / "demo-token").chmod(0o644)
    create_demo()
    assert principal_of_token(token_in(var)) is not None
    assert (var / "demo-token").stat().st_mode & 0o777 == 0o600


def test_a_token_of_somebody_else_or_of_less_is_replaced(var: Path) -> None:
    var.mkdir()
    for token in (make_token(make_user("ada")), make_token(make_user("demo"), Role.VIEWER)):
        (var / "demo-token").write_text(token)
        create_demo()
        principal = principal_of_token(token_in(var))
        assert principal is not None
        assert (principal.user.username, principal.role) == ("demo", Role.EDITOR)


def test_a_demo_user_who_lost_the_role_or_was_deactivated_gets_it_back(var: Path) -> None:
    create_demo()
    token = token_in(var)
    demo = User.objects.get(username="demo")
    demo.groups.clear()
    create_demo()
    User.objects.update(is_active=False)
    create_demo()
    assert token_in(var) == token
    assert principal_of_token(token) is not None


def test_the_admin_can_log_in_with_the_password_that_is_printed(var: Path) -> None:
    output = create_demo()
    password = (var / "admin-password").read_text().strip()
    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(password)
    assert f"as admin with the password {password} " in output
    assert (var / "admin-password").stat().st_mode & 0o777 == 0o600


def test_no_admin_is_made_where_there_is_one(var: Path) -> None:
    User.objects.create_superuser("root", password="secret")
    assert "as an account of yours" in create_demo()
    assert not User.objects.filter(username="admin").exists()
    assert not (var / "admin-password").exists()


def test_a_password_that_was_changed_is_not_printed(var: Path) -> None:
    create_demo()
    old = (var / "admin-password").read_text().strip()
    admin = User.objects.get(username="admin")
    admin.set_password("another one")
    admin.save()
    assert old not in create_demo()
    assert User.objects.get(username="admin").check_password("another one")


def test_a_user_called_admin_stays_what_it_is(var: Path) -> None:
    make_user("admin", Role.VIEWER)
    assert "as an account of yours" in create_demo()
    assert not User.objects.filter(is_superuser=True).exists()


def test_the_examples_are_loaded_only_where_there_are_no_items(var: Path) -> None:
    make_item("mine")
    create_demo()
    assert Item.objects.get().part_number == "mine"


def test_the_examples_are_parts_as_the_api_accepts_them(var: Path) -> None:
    with createdemo.EXAMPLES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    create_demo()
    assert Item.objects.count() == len(rows) >= 20
    for row in rows:
        assert not part_number_fault(row["part_number"])
        assert not text_fault(row["description"] + row["item_type"])
        assert row["description"]
    assert {row["item_type"] for row in rows} == {"part", "assembly", "document"}


def test_it_can_be_silent(var: Path) -> None:
    assert not create_demo(verbosity=0)


def test_it_can_leave_the_printing_to_another_program(var: Path) -> None:
    text = create_demo(port="8001")
    assert not create_demo(port="8001", to=var / "welcome")
    assert (var / "welcome").read_text() == text
    assert (var / "welcome").stat().st_mode & 0o777 == 0o600


def test_the_part_is_that_of_the_readmes(var: Path) -> None:
    assert "/api/items/A01-0002/events" in create_demo()


def test_the_lines_can_be_copied_whatever_the_part_is_called(var: Path) -> None:
    make_item("DIN 912/M5 'größe' $(id)")
    output = create_demo(port="8001")
    watch = next(line for line in output.splitlines() if "curl" in line)
    *_, url = shlex.split(watch)
    assert url == (
        "http://127.0.0.1:8001/api/items/"
        "DIN%20912%2FM5%20%27gr%C3%B6%C3%9Fe%27%20%24%28id%29/events"
    )
    assert re.search(r'\$\(cat \'.*/v a r/demo-token\'\)" http', watch)
