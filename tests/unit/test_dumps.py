"""Which program reads a database for `manage.py backup`."""

from types import SimpleNamespace

import pytest
from django.core.management.base import CommandError
from django.db import connection

from silo import dumps


@pytest.mark.parametrize("engine", ["django_embedded_postgres", "django.db.backends.postgresql"])
def test_an_embedded_database_is_read_by_its_own_program_and_others_by_that_of_the_path(
    engine, monkeypatch, tmp_path
):
    for place in ("own", "path"):
        program = tmp_path / place / "pg_dump"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho the one of {place} >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    own = SimpleNamespace(program=lambda name: tmp_path / "own" / name)
    monkeypatch.setattr("django_embedded_postgres.base.server_for", lambda settings: own)
    # Nothing is started or connected to.
    monkeypatch.setattr(dumps, "_surroundings", dict)
    monkeypatch.setitem(connection.settings_dict, "ENGINE", engine)
    with pytest.raises(CommandError) as refused:
        dumps.write(tmp_path / "silo.dump")
    embedded = engine == "django_embedded_postgres"
    assert str(refused.value) == f"the one of {'own' if embedded else 'path'}"
