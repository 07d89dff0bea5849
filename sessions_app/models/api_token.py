"""Bearer tokens. Only their hash is kept; the token itself is shown once, to who makes it."""

import hashlib
import logging
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Self

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.postgres.expressions import ArraySubquery
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models import Case, CharField, OuterRef, Q, Value, When
from django.db.models.functions import Now

from events_app.database.pipeline import Row
from events_app.database.round_trip import Statement, rows_of
from sessions_app.roles import Role

logger = logging.getLogger(__name__)

# Recognisable in logs and by secret scanners.
TOKEN_PREFIX = "silo_"  # noqa: S105
# As `issue` makes them: 32 random bytes in URL-safe base64.
TOKEN_FORM = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}")
# Shown in lists, to tell tokens apart: the prefix and 8 of the 43 random characters.
SHOWN_CHARACTERS = len(TOKEN_PREFIX) + 8
# `last_used_at` is written at most this often, not with every request.
LAST_USED_STEP = timedelta(minutes=1)
# What is read of a token and its user when a request comes, in the order of their models, as `from_db` wants it. The
# rest is read from the database where it is needed.
TOKEN_COLUMNS: Final = ("id", "user_id", "role", "digest", "expires_at", "last_used_at")
USER_COLUMNS: Final = ("id", "is_superuser", "username", "first_name", "last_name", "is_active")


class TokenState(models.TextChoices):
    """Whether a token is good, or the first reason why it is not: the value for the log, the label for a page."""

    REVOKED = "revoked", "revoked"
    DEACTIVATED = "deactivated", "user deactivated"
    EXPIRED = "expired", "expired"
    VALID = "valid", "valid"


def hashed(token: str) -> str:
    """Return what is stored of a token. It is random, so a plain fast hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def with_use(self) -> Self:
        """Load `used_recently`: whether a use has been noted within `LAST_USED_STEP`; and the moment, `asked_at`."""
        recently = Q(last_used_at__gt=Now() - LAST_USED_STEP)
        return self.annotate(used_recently=recently, asked_at=Now())

    def with_roles(self) -> Self:
        """Load `groups`: those of the user that mean a role."""
        groups = Group.objects.filter(user=OuterRef("user"), name__in=Role.groups())
        return self.annotate(groups=ArraySubquery(groups.values("name")))

    def with_state(self) -> Self:
        """Load `state`: the value of `TokenState`, by the database's clock."""
        state = Case(
            When(revoked_at__isnull=False, then=Value(TokenState.REVOKED.value)),
            When(user__is_active=False, then=Value(TokenState.DEACTIVATED.value)),
            When(expires_at__lte=Now(), then=Value(TokenState.EXPIRED.value)),
            default=Value(TokenState.VALID.value),
            output_field=CharField(),
        )
        return self.annotate(state=state)

    def valid(self) -> Self:
        """Those that are not revoked or expired, of active users."""
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=Now()),
            revoked_at__isnull=True,
            user__is_active=True,
        )

    def once_good(self, token: str) -> "ApiToken | None":
        """Return the token with this text, good or not, with its `state`; None if there never was one."""
        if not TOKEN_FORM.fullmatch(token):
            return None
        return self.with_state().filter(digest=hashed(token)).first()

    def issue(
        self, user: User, name: str, role: str, lifetime: timedelta | None
    ) -> tuple["ApiToken", str]:
        """Make a token.

        Args:
            user: whose it is.
            name: what it is for.
            role: the most that it allows; the user's own role limits it too.
            lifetime: from now; None for no end.

        Returns:
            Its row, and the token itself, which is not kept.
        """
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = self.create(
            user=user,
            name=name,
            role=role,
            digest=hashed(token),
            shown=token[:SHOWN_CHARACTERS],
            expires_at=Now() + lifetime if lifetime else None,
        )
        extra = {
            "token": row.shown,
            "user": user.get_username(),
            "role": role,
            "purpose": name,
            "days": lifetime and lifetime.total_seconds() / 86400,
        }
        transaction.on_commit(partial(logger.info, "token made", extra=extra), robust=True)
        return row, token

    def revoke(self, by: str) -> "list[ApiToken]":
        """Revoke those of these tokens that are not revoked yet; return them.

        Args:
            by: the name of who does it, for the log.
        """
        with transaction.atomic():
            good = self.filter(revoked_at__isnull=True).select_related("user").order_by("pk")
            revoked = list(good.select_for_update(of=("self",)))
            ids = [token.pk for token in revoked]
            ApiToken.objects.filter(pk__in=ids).update(revoked_at=Now())
            transaction.on_commit(partial(_log_revoked, revoked, by), robust=True)
        return revoked

    def authenticate_all(self, digests: Collection[str]) -> "dict[str, ApiToken]":
        """Return the valid ones of the tokens with these digests, with their users and roles, and note their use."""
        if not digests:
            return {}
        rows = rows_of(_VALID(digests))
        found = {row.digest: row for row in map(ApiToken.of_columns, rows)}
        if unnoted := [row.pk for row in found.values() if not row.used_recently]:
            # Who has a row is noting the same, or changing it; nobody waits for that, however many ask at once.
            free = self.filter(pk__in=unnoted).order_by("pk")
            locked = free.select_for_update(skip_locked=True, no_key=True).values("pk")
            with transaction.atomic():
                self.filter(pk__any=ArraySubquery(locked)).update(last_used_at=Now())
        return found


class ApiToken(models.Model):
    """The right to act as a user, up to a role."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)
    role = models.CharField(max_length=10)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    shown = models.CharField("prefix", max_length=SHOWN_CHARACTERS, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)

    # Not columns: only rows loaded by `with_use` have them.
    used_recently: bool
    asked_at: datetime
    # By `authenticate_all`.
    groups: list[str]
    # By `with_state`.
    state: str

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=["viewer", "editor", "admin"]), name="api_token_role"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.shown}…)"

    @classmethod
    def of_columns(cls, row: Row) -> "ApiToken":
        """Return the token of a row that has `TOKEN_COLUMNS`, those of its user, and what is annotated."""
        tokens, users = len(TOKEN_COLUMNS), len(USER_COLUMNS)
        token = cls.from_db(DEFAULT_DB_ALIAS, TOKEN_COLUMNS, row[:tokens])
        token.user = User.from_db(DEFAULT_DB_ALIAS, USER_COLUMNS, row[tokens : tokens + users])
        token.used_recently, token.asked_at, token.groups = row[tokens + users :]
        return token

    def good_for(self) -> timedelta:
        """Return how long after `asked_at` it needs not be asked for: until it expires, or its use has to be noted."""
        left = LAST_USED_STEP
        if self.used_recently and self.last_used_at is not None:
            left = min(left, self.last_used_at + LAST_USED_STEP - self.asked_at)
        if self.expires_at is not None:
            left = min(left, self.expires_at - self.asked_at)
        return left


def _log_revoked(tokens: Collection[ApiToken], by: str) -> None:
    for token in tokens:
        extra = {"token": token.shown, "user": token.user.get_username(), "by": by}
        logger.warning("token revoked", extra=extra)


_VALID: Final = Statement(
    lambda digests: (
        ApiToken.objects.valid()
        .filter(digest__any=digests)
        .with_use()
        .with_roles()
        .values_list(
            *TOKEN_COLUMNS,
            *(f"user__{name}" for name in USER_COLUMNS),
            *("used_recently", "asked_at", "groups"),
        )
    )
)
