"""System checks: what log-ins by OpenID Connect need."""

from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks

from board_app.openid import BACKEND


@checks.register("accounts")
def check_openid(**_: Any) -> list[checks.CheckMessage]:
    """Refuse settings of OpenID Connect by which nobody could log in."""
    accounts = settings.ACCOUNTS
    if not accounts.openid_issuer:
        if not accounts.openid_client_id:
            return []
        return [
            checks.Error(
                "accounts.openid_client_id is set, and accounts.openid_issuer is not.",
                hint="Name the provider, as docs/accounts.md says.",
                id="board_app.E001",
            )
        ]
    faults: list[checks.CheckMessage] = []
    if find_spec("authlib") is None:
        faults.append(
            checks.Error(
                "accounts.openid_issuer is set, and Authlib, which speaks with the provider, is not installed.",
                hint="Run pip install -r requirements-oidc.txt in the environment of the service.",
                id="board_app.E002",
            )
        )
    if not accounts.openid_client_id:
        faults.append(
            checks.Error(
                "accounts.openid_issuer is set, and accounts.openid_client_id is not.",
                hint="Register this service at the provider, and name the id that it got there.",
                id="board_app.E003",
            )
        )
    if BACKEND not in settings.AUTHENTICATION_BACKENDS:
        faults.append(
            checks.Error(
                f"AUTHENTICATION_BACKENDS lacks {BACKEND}, without which log-ins by OpenID Connect are not kept.",
                hint="Add it, last.",
                id="board_app.E005",
            )
        )
    if "openid" not in accounts.openid_scopes:
        faults.append(
            checks.Error(
                "accounts.openid_scopes lacks openid, without which a provider does not say who somebody is.",
                hint="Add it.",
                id="board_app.E004",
            )
        )
    return faults
