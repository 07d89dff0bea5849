"""Whether the provider of OpenID Connect can be reached and used."""

from collections.abc import Iterator
from importlib.util import find_spec

from django.conf import settings

from board_app.openid.calls import Unavailable
from board_app.openid.provider import PROVIDER
from silo.doctor.findings import Finding, ok, problem


def findings() -> Iterator[Finding]:
    """Yield it, where there is one; that its library is not installed is a finding of the settings."""
    issuer = settings.ACCOUNTS.openid_issuer
    if not issuer or find_spec("authlib") is None:
        return
    try:
        PROVIDER.look()
    except Unavailable as error:
        yield problem(
            "OpenID Connect",
            f"The discovery document of {issuer} cannot be used: {error}.",
            "Compare accounts.openid_issuer with the provider's; ask it from here: curl"
            f" {issuer.rstrip('/')}/.well-known/openid-configuration. Passwords still work.",
        )
    else:
        yield ok("OpenID Connect", f"The discovery document of {issuer} can be read.")
