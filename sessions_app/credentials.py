"""Bearer tokens, looked up in the database or in the cache of this process.

The database's triggers notify of each change of a token, its user or his groups
(`migrations/0018_notify_of_credentials.py`), with the user's id, or with nothing for everybody.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS

from events_app.database.notified_cache import Answer, NotifiedCache
from sessions_app.models.api_token import TOKEN_FORM, USER_COLUMNS, ApiToken, hashed
from sessions_app.roles import Role


@dataclass(frozen=True, slots=True)
class Credential:
    """What is known of a valid token.

    Args:
        token_id: the token.
        limit: the most that it allows.
        role: the user's role; None without one.
        values: of the user, `USER_COLUMNS`; the triggers notify of a change of each of them.
    """

    token_id: int
    limit: Role
    role: Role | None
    values: tuple[object, ...]

    def user(self) -> User:
        """Return the user: an object of its own for each request, which may change it."""
        return User.from_db(DEFAULT_DB_ALIAS, USER_COLUMNS, self.values)


# By the digest of the token.
cache: Final = NotifiedCache[str, Credential]("silo_credentials")


def of_tokens(tokens: Collection[str]) -> dict[str, Credential]:
    """Return the valid ones of these tokens: without a query, or by a fixed number of queries for those not known."""
    digests = {digest: token for token in tokens if (digest := _digest(token))}
    return {digests[digest]: one for digest, one in cache.find(digests, _ask).items()}


def known(token: str) -> Credential | None:
    """Return what is known of a token without a query; None if that is nothing."""
    digest = _digest(token)
    return None if digest is None else cache.known(digest)


def _digest(token: str) -> str | None:
    """Return the digest of a token; None of a text that cannot be one, and is not looked for."""
    return _hashed(token) if TOKEN_FORM.fullmatch(token) else None


# Of texts as long as a token only: others can be of any length.
_hashed = lru_cache(4096)(hashed)


def _ask(digests: Collection[str]) -> Mapping[str, Answer[Credential]]:
    rows = ApiToken.objects.authenticate_all(digests)
    return {
        digest: Answer(
            Credential(
                row.pk,
                Role[row.role.upper()],
                Role.among(row.groups, row.user),
                tuple(getattr(row.user, name) for name in USER_COLUMNS),
            ),
            owner=str(row.user_id),
            seconds=row.good_for().total_seconds(),
        )
        for digest, row in rows.items()
    }
