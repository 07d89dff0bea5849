"""Settings of OpenID Connect: what is refused, and what a server without it needs."""

import asyncio
import subprocess
import sys

import pytest

from board_app import checks
from silo import database, request_shares
from silo.doctor import configuration

ISSUER = "https://login.example.com"


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ({}, []),
        ({"openid_issuer": ISSUER, "openid_client_id": "silo"}, []),
        ({"openid_client_id": "silo"}, ["E001"]),
        ({"openid_issuer": ISSUER}, ["E003"]),
        (
            {"openid_issuer": ISSUER, "openid_client_id": "silo", "openid_scopes": ["profile"]},
            ["E004"],
        ),
    ],
)
@pytest.mark.parametrize("installed", [True, False])
def test_settings_by_which_nobody_could_log_in_are_refused(
    settings, monkeypatch, given, ids, installed
):
    settings.ACCOUNTS = settings.ACCOUNTS.model_copy(update=given)
    monkeypatch.setattr(checks, "find_spec", lambda name: name if installed else None)
    if "openid_issuer" in given and not installed:
        ids = ["E002", *ids]
    assert [one.id for one in checks.check_openid()] == [f"board_app.{id_}" for id_ in ids]


def test_log_ins_are_kept_by_djangos_backend(settings):
    given = {"openid_issuer": ISSUER, "openid_client_id": "silo"}
    settings.ACCOUNTS = settings.ACCOUNTS.model_copy(update=given)
    settings.AUTHENTICATION_BACKENDS = ["django_auth_ldap.backend.LDAPBackend"]
    assert "board_app.E005" in [one.id for one in checks.check_openid()]


def test_doctor_says_whether_the_secret_is_set(settings):
    def shown():
        [value] = [
            one for one in configuration.values() if one.key == "accounts.openid_client_secret"
        ]
        return value.shown

    assert shown() == "(not set)"
    settings.ACCOUNTS = settings.ACCOUNTS.model_copy(update={"openid_client_secret": "hunter2"})
    assert shown() == "(hidden)"


def test_a_server_without_it_imports_no_authlib_and_has_no_further_connection():
    code = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        "import silo.urls; sys.exit('authlib' in sys.modules or 'joserfc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert database.pool(calls_provider=False) == database.POOL
    more = database.pool(calls_provider=True)["max_size"] - database.POOL["max_size"]
    assert more == database.CALLING_AT_ONCE


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("GET /board/log-in/openid", "calling"),
        ("GET /board/log-in/openid/answer", "calling"),
        ("POST /board/log-in", "hashing"),
        ("GET /board/log-in", "ordinary"),
        ("GET /board/log-in/openid/answer/", "ordinary"),
    ],
)
def test_only_those_who_call_the_provider_wait_for_it(line, place):
    taken = []

    def at(name):
        async def application(scope, receive, send):
            taken.append(name)

        return application

    chosen = request_shares.with_slow_ones_apart(at("ordinary"), at("hashing"), at("calling"))
    method, path = line.split()
    asyncio.run(chosen({"method": method, "path": path}, None, None))
    assert taken == [place]
