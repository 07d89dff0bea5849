"""The provider of OpenID Connect: where it sends a browser, and whom it has sent back.

State, nonce and PKCE are made, and ID tokens checked, by Authlib: signature, algorithm, issuer, audience, nonce and
times. What is here are the settings, the bounds, and the order.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Final

from django.conf import settings
from requests import HTTPError

from board_app.openid.calls import Bounded, NotUsable, Rest, Unavailable
from sessions_app.openid_accounts import Identity, role_of, shown_name
from sessions_app.roles import Role
from sessions_app.text import text_fault

# For so long the provider's addresses and keys are kept; a key that is not known is asked for at once.
KEPT_SECONDS: Final = 3600.0
# How far the clocks of provider and server may be apart.
LEEWAY_SECONDS: Final = 60
# Signatures by keys that only the provider has; never by the client's secret, and never none.
ALGORITHMS: Final = frozenset(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
_REQUIRED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# The provider's words for a client that it does not know, or whose secret or scopes are wrong, with the browser or to a
# call: nobody who logs in can help it.
SET_UP_WRONG: Final = frozenset(
    [
        "invalid_client",
        "unauthorized_client",
        "invalid_scope",
        "unsupported_grant_type",
        "unsupported_response_type",
    ]
)


class NotBelieved(Exception):
    """What came is not the provider's answer to this attempt; the text says why, for the log."""


@dataclass(frozen=True)
class Begun:
    """An attempt that has begun.

    Args:
        url: where the browser is sent.
        state: comes back with the answer.
        nonce: comes back in the ID token.
        verifier: proves to the provider that the code is used by who asked for it (PKCE).
    """

    url: str
    state: str
    nonce: str
    verifier: str


class Provider:
    """The provider that the settings name."""

    def __init__(self) -> None:
        self._rest = Rest()
        self._lock = Lock()
        self._kept: tuple[float, Any] | None = None

    def begin(self, redirect_uri: str, *, ask: bool = False) -> Begun:
        """Begin an attempt.

        Args:
            redirect_uri: where the provider is to send the browser back to.
            ask: whether the provider is to ask who it is, also where it knows somebody in this browser.

        Raises:
            Unavailable: the provider cannot be used.
        """
        more = {"prompt": "login"} if ask else {}
        made = self._rest.run(lambda: self._client().create_authorization_url(redirect_uri, **more))
        return Begun(made["url"], made["state"], made["nonce"], made["code_verifier"])

    def identity(self, code: str, begun: Begun, redirect_uri: str) -> Identity:
        """Return who has logged in at the provider.

        Args:
            code: what the provider sent with the browser.
            begun: the attempt that it answers.
            redirect_uri: the same as at the beginning.

        Raises:
            Unavailable: the provider cannot be used.
            NotBelieved: the code or what is behind it is not good.
        """
        return self._rest.run(lambda: self._identity(code, begun, redirect_uri))

    def look(self) -> None:
        """Read the discovery document anew.

        Raises:
            Unavailable: it cannot be read or used.
        """
        self.forget()
        self._rest.run(self._client)

    def forget(self) -> None:
        """Keep nothing of the provider."""
        with self._lock:
            self._kept = None
        self._rest.end()

    def _client(self) -> Any:
        """Return Authlib's client, which knows the provider's addresses and keys."""
        with self._lock:
            kept = self._kept
        if kept and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        client = _client_of(_discovered())
        with self._lock:
            self._kept = time.monotonic(), client
        return client

    def _identity(self, code: str, begun: Begun, redirect_uri: str) -> Identity:
        from authlib.integrations.base_client import OAuthError
        from joserfc.errors import JoseError

        accounts = settings.ACCOUNTS
        client = self._client()
        try:
            token = client.fetch_access_token(
                redirect_uri=redirect_uri, code=code, code_verifier=begun.verifier
            )
            if "id_token" not in token:
                raise NotUsable("the provider sends no ID token: is openid among the scopes?")
            claims = client.parse_id_token(
                token,
                nonce=begun.nonce,
                claims_options={
                    "iss": {"essential": True, "value": accounts.openid_issuer},
                    "aud": {"essential": True, "value": accounts.openid_client_id},
                },
                leeway=LEEWAY_SECONDS,
            )
            claims = _with_userinfo(client, token, claims)
        except OAuthError as error:
            if error.error in SET_UP_WRONG:
                raise refuses_client(error.error) from error
            raise NotBelieved(f"refused by the provider: {error.error}") from error
        except JoseError as error:
            raise NotBelieved(f"ID token: {error.error}") from error
        except HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            if status >= 500:
                raise
            raise NotUsable(f"the provider answers {status}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NotUsable(f"its answer cannot be read: {type(error).__name__}") from error
        return identity_in(claims)


def refuses_client(error: str) -> NotUsable:
    """Return what one of SET_UP_WRONG means.

    Args:
        error: the provider's word.
    """
    return NotUsable(f"the provider refuses this client: {error}")


def identity_in(claims: Mapping[str, Any]) -> Identity:
    """Return who somebody is by the claims of the provider.

    Raises:
        NotUsable: they do not say it.
    """
    accounts = settings.ACCOUNTS
    subject, username = claims.get("sub"), claims.get(accounts.openid_username_claim)
    if not isinstance(subject, str) or not subject or text_fault(subject):
        raise NotUsable("the provider does not say who it is: sub")
    if not isinstance(username, str) or not username.strip() or text_fault(username.strip()):
        raise NotUsable(f"the provider sends no usable claim {accounts.openid_username_claim}")
    groups = claims.get(accounts.openid_groups_claim) if accounts.openid_groups_claim else None
    listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    first, last = shown_name(claims.get("given_name")), shown_name(claims.get("family_name"))
    return Identity(
        issuer=accounts.openid_issuer,
        subject=subject,
        username=username.strip(),
        first_name=first if first or last else shown_name(claims.get("name")),
        last_name=last,
        role=role_of(
            [group for group in listed if isinstance(group, str)],
            {
                Role.VIEWER: accounts.openid_viewer_groups,
                Role.EDITOR: accounts.openid_editor_groups,
                Role.ADMIN: accounts.openid_admin_groups,
            },
        ),
    )


def _with_userinfo(client: Any, token: Any, claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the claims, with those of the provider's user information where one that is needed is missing."""
    accounts = settings.ACCOUNTS
    wanted = {accounts.openid_username_claim, accounts.openid_groups_claim} - {""}
    if wanted <= claims.keys() or not client.server_metadata.get("userinfo_endpoint"):
        return claims
    information = client.userinfo(token=token)
    # The standard asks for this: nothing else ties the two to one person.
    if information.get("sub") != claims["sub"]:
        raise NotBelieved("the user information is of somebody else")
    return {**information, **claims}


def _discovered() -> dict[str, Any]:
    """Read the provider's discovery document, and return what is needed of it.

    Raises:
        Unavailable: it cannot be used.
        RequestException: it cannot be read.
    """
    issuer = settings.ACCOUNTS.openid_issuer
    with _session()() as session:
        answer = session.request(
            "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", withhold_token=True
        )
    if answer.status_code != 200:
        raise Unavailable(f"the discovery document is answered with status {answer.status_code}")
    try:
        document = answer.json()
    except ValueError as error:
        raise Unavailable("the discovery document is not JSON") from error
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        # Not the other name itself: what a stranger sends is not believed.
        raise Unavailable("the discovery document names another issuer than openid_issuer")
    scheme = issuer.partition(":")[0]
    # The user information is asked for with the access token.
    for name in (*_REQUIRED, *({"userinfo_endpoint"} & document.keys())):
        address = document.get(name)
        if not isinstance(address, str) or not address.startswith(("https://", f"{scheme}://")):
            raise Unavailable(f"the discovery document has no usable {name}")
    usable = _listed(document, "id_token_signing_alg_values_supported", "RS256") & ALGORITHMS
    if not usable:
        raise Unavailable("the provider signs ID tokens by no algorithm that is usable here")
    kept = {name: document[name] for name in (*_REQUIRED, "userinfo_endpoint") if name in document}
    return kept | {
        "id_token_signing_alg_values_supported": sorted(usable),
        "methods": _listed(
            document, "token_endpoint_auth_methods_supported", "client_secret_basic"
        ),
    }


def _listed(document: dict[str, Any], name: str, otherwise: str) -> set[str]:
    """Return the texts in a list; the standard's own one where there is no list."""
    given = document.get(name, [otherwise])
    return {one for one in given if isinstance(one, str)} if isinstance(given, list) else set()


def _client_of(metadata: dict[str, Any]) -> Any:
    from authlib.integrations.django_client import DjangoOAuth2App

    accounts = settings.ACCOUNTS
    method = "none"
    if accounts.openid_client_secret:
        basic = "client_secret_basic" in metadata.pop("methods")
        method = "client_secret_basic" if basic else "client_secret_post"
    else:
        metadata.pop("methods")
    client = DjangoOAuth2App(
        framework=None,
        name="openid",
        client_id=accounts.openid_client_id,
        client_secret=accounts.openid_client_secret or None,
        client_kwargs={
            "scope": " ".join(accounts.openid_scopes),
            "code_challenge_method": "S256",
            "token_endpoint_auth_method": method,
        },
        **metadata,
    )
    client.client_cls = _session()
    return client


@cache
def _session() -> Any:
    """Return the class of Authlib's sessions with our bounds. Servers without OpenID Connect need no Authlib."""
    from authlib.integrations.requests_client import OAuth2Session

    class Session(Bounded, OAuth2Session):  # type: ignore[misc]
        pass

    return Session


# The one that is configured; a process keeps what it knows of it.
PROVIDER: Final = Provider()
