"""`DATABASE_URL`, and what is there without it."""

import re
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured

from events_app.database import names
from silo import database
from tests.documents import ROOT

VAR = Path("/srv/var")


def parsed(url):
    return database.settings(url, VAR)


@pytest.mark.parametrize("url", [None, ""])
def test_without_a_url_it_is_the_embedded_one_in_the_data_folder(url):
    settings = parsed(url)
    assert settings["ENGINE"] == "django_embedded_postgres"
    assert settings["OPTIONS"]["folder"] == str(VAR)
    # The names that the data of every installation has.
    assert (settings["NAME"], settings["USER"]) == ("silo", "silo")


def test_without_a_url_and_without_the_embedded_one_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "django_embedded_postgres", None)
    with pytest.raises(ImproperlyConfigured, match=r"requirements\.txt`.* or set DATABASE_URL"):
        parsed(None)


@pytest.mark.parametrize(
    ("arguments", "may"),
    [
        (["manage.py", "migrate"], True),
        (["/opt/silo/manage.py", "migrate", "--verbosity", "0"], True),
        (["manage.py", "migrate", "--check"], False),
        (["manage.py", "migrate", "--plan"], False),
        (["manage.py", "createtoken", "migrate"], False),
        (["manage.py", "serve"], False),
        (["manage.py"], False),
        (["/usr/bin/pytest", "tests"], True),
        ([""], True),
    ],
)
def test_only_migrate_makes_a_database(arguments, may):
    assert database.may_be_made(arguments) is may


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_url_names_everything(scheme):
    settings = parsed(f"{scheme}://ada:secret@db.example:5433/silo")
    assert settings["ENGINE"] == "django.db.backends.postgresql"
    assert [settings[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")] == [
        "silo",
        "ada",
        "secret",
        "db.example",
        "5433",
    ]


@pytest.mark.parametrize(
    ("url", "key", "value"),
    [
        ("postgresql://a:p%40ss%2Fw%25@h/silo", "PASSWORD", "p@ss/w%"),
        ("postgresql://a%40b:p@h/silo", "USER", "a@b"),
        ("postgresql://h/my%20silo", "NAME", "my silo"),
        ("postgresql://[::1]:5432/silo", "HOST", "::1"),
        ("postgresql:///silo?host=/run/postgresql", "HOST", "/run/postgresql"),
        ("postgresql://one:1,two:2/silo", "HOST", "one,two"),
        ("postgresql://one:1,two:2/silo", "PORT", "1,2"),
        ("postgresql://h/silo", "PORT", ""),
        ("postgresql://h/silo", "PASSWORD", ""),
        ("postgresql://?service=silo", "NAME", ""),
    ],
)
def test_parts_are_decoded(url, key, value):
    assert parsed(url)[key] == value


@pytest.mark.parametrize(
    ("query", "key", "value"),
    [
        ("sslmode=require", "sslmode", "require"),
        ("connect_timeout=3", "connect_timeout", "3"),
    ],
)
def test_options_go_to_libpq(query, key, value):
    assert parsed(f"postgresql://h/silo?{query}")["OPTIONS"][key] == value


def test_server_options_of_the_url_win_over_ours():
    options = parsed("postgresql://h/silo?options=-c%20lock_timeout%3D1")["OPTIONS"]["options"]
    assert options.endswith("-c lock_timeout=1")


def test_a_server_that_cannot_be_reached_is_soon_an_answer():
    assert int(parsed("postgresql://h/silo")["OPTIONS"]["connect_timeout"]) <= 10


@pytest.mark.parametrize("url", [None, "postgresql://h/silo"])
def test_connections_are_handed_back_and_probed(url):
    settings = parsed(url)
    assert (settings["CONN_MAX_AGE"], settings["CONN_HEALTH_CHECKS"]) == (0, True)


@pytest.mark.parametrize("character", ["@", "/", "#", "a@b/c#d", "@/"])
def test_a_character_that_should_be_encoded_is_told_so(character):
    with pytest.raises(
        ImproperlyConfigured, match=r"Percent-encode .*: @ is %40, / is %2F, # is %23"
    ):
        parsed(f"postgresql://ada:se{character}cret@h:5432/silo?sslmode=require")
    encoded = quote(f"se{character}cret", safe="")
    assert parsed(f"postgresql://ada:{encoded}@h/silo")["PASSWORD"] == f"se{character}cret"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/silo?user=ada@example&password=s@c/r#t",
        "postgresql://h:5432/silo?user=ada@example",
        "postgresql:///silo?host=/run/postgresql&user=a@b",
        "postgresql://ada:secret@one:1,two:2/silo?options=-c%20a%3Db@c",
        "postgresql://ada:s:e?c=r!t$@h/silo",
    ],
)
def test_what_libpq_reads_as_it_is_meant_is_not_refused(url):
    assert parsed(url)["NAME"] == "silo"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ada:hunter2@h/silo",
        "sqlite:///hunter2.db",
        "hunter2",
        "postgresql:hunter2",
        "postgresql://ada:hunter2%zz@h/silo",
        "postgresql://ada:hunter2@[h/silo",
        "postgresql://ada:hunter2@h/silo?colour=red",
        "postgresql://ada:hunter2@h/silo?sslmode",
        "postgresql://ada:hunter2%00@h/silo",
        "postgresql://ada:hunter2\udcff@h/silo",
        "postgresql://ada:hunter2@h",
        "postgresql://ada:hunter2@h/",
        "postgresql://ada:hunter2@s@h/silo",
        "postgresql://ada@hunter2@h/silo",
        "postgresql://ada:7@hunter2/s@h/silo",
        "postgresql://ada:hunter2/s@h/silo",
        "postgresql://ada:/hunter2@h:5432/silo",
        "postgresql://ada:hunter2/s?x=7@h/silo",
        "postgresql://ada:hunter2?s@h/@silo",
        "postgresql://ada:hunter2#s@h/silo",
        "postgresql://ada:7#hunter2@s@h/silo",
        "postgresql://h:hunter2/silo",
    ],
)
def test_a_bad_url_is_refused_and_its_password_never_shown(url):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as caught:
        parsed(url)
    assert "hunter2" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("arguments", "purpose"),
    [
        (["manage.py", "serve", "--workers", "2"], "serve"),
        (["/opt/silo/manage.py", "runsweeper"], "sweeper"),
        (["manage.py", "migrate", "--verbosity", "0"], "command migrate"),
        (["manage.py"], "command help"),
        (["/usr/bin/pytest", "tests"], "pytest"),
        ([""], ""),
    ],
)
def test_each_program_has_its_purpose(arguments, purpose):
    assert database.purpose(arguments) == purpose


@pytest.mark.parametrize(
    ("url", "variable", "name"),
    [
        (None, "", "silo serve"),
        ("postgresql://h/silo", "", "silo serve"),
        ("postgresql://h/silo?application_name=plant%20one", "", "plant one serve"),
        ("postgresql://h/silo?application_name=plant%20one", "else", "plant one serve"),
        ("postgresql://h/silo", "here", "here serve"),
        (f"postgresql://h/silo?application_name={'x' * 80}", "", f"{'x' * 57} serve"),
        (f"postgresql://h/silo?application_name={'%C3%A4' * 40}", "", f"{'ä' * 28} serve"),
    ],
)
def test_a_connection_is_named_after_the_installation_and_its_purpose(
    monkeypatch, url, variable, name
):
    monkeypatch.setenv("PGAPPNAME", variable)
    settings = database.settings(url, VAR, purpose="serve")
    assert settings["OPTIONS"]["application_name"] == name
    assert len(name.encode()) <= 63


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("silo serve", True),
        ("plant two relay", True),
        ("silo sweeper", True),
        ("", True),
        ("psql", False),
        ("silo command upgrade", False),
        ("silo command serve-something", False),
        ("observer", False),
    ],
)
def test_a_connection_of_a_service_is_known_by_its_name(name, is_one):
    assert names.is_service(name) == is_one


def test_every_purpose_of_servers_and_sweepers_is_known():
    given = {database.purpose(["manage.py", command]) for command in ("serve", "runsweeper")}
    for folder in ("events_app", "sessions_app", "silo", "board_app"):
        for path in (ROOT / folder).rglob("*.py"):
            given |= set(
                re.findall(r'(?:parameters_for\(|purpose: str = )"(\w+)"', path.read_text())
            )
    # A command that only looks.
    assert given - {"doctor"} == names.SERVICES
