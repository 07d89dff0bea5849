"""Bearer tokens that users make for themselves, and end. Administrators have `manage.py createtoken` and `/admin/`."""

from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from sessions_app.errors import Forbidden, NotFound, TooManyTokens
from sessions_app.models.api_token import ApiToken
from sessions_app.roles import Role

# Of one user that are valid, or were made within a day: so nobody fills the table, which keeps revoked ones.
MOST_OWN: Final = 50
_LATELY: Final = timedelta(days=1)
# Whoever needs one for longer makes a new one, or asks an administrator.
MOST_DAYS: Final = 366


def make(user: User, name: str, role: Role, lifetime: timedelta) -> tuple[ApiToken, str]:
    """Make a token for a user, who asks for it by a log-in: a token makes none.

    Args:
        user: whose it is.
        name: what it is for.
        role: the most that it allows.
        lifetime: from now.

    Returns:
        Its row, and the token itself, which is not kept.

    Raises:
        Forbidden: the user's own role is lower, or the user was deactivated meanwhile.
        TooManyTokens: the user has as many as anybody may have.
    """
    with transaction.atomic():
        # The user's tokens are counted and made one after the other.
        users = User.objects.select_for_update(no_key=True)
        owner = users.filter(pk=user.pk, is_active=True).first()
        has = Role.of(owner) if owner else None
        if owner is None or has is None:
            raise Forbidden("Only an active user with a role can make a token.")
        if has < role:
            raise Forbidden(f"Your role is {has.group}: a token of yours cannot allow more.")
        valid = Q(pk__in=ApiToken.objects.filter(user=owner).valid())
        counted = valid | Q(created_at__gt=Now() - _LATELY)
        held = ApiToken.objects.filter(counted, user=owner).count()
        if held >= MOST_OWN:
            raise TooManyTokens(
                f"You have {held} tokens that are valid or were made within a day; {MOST_OWN} are permitted.",
                limit=MOST_OWN,
                held=held,
            )
        row, token = ApiToken.objects.issue(owner, name, role.group, lifetime)
        row.refresh_from_db()
        return row, token


def revoke_own(user: User, token_id: int) -> None:
    """Revoke a valid token of a user's, at his or her wish.

    Raises:
        NotFound: the user has no such token, or it is not valid any more.
    """
    own = ApiToken.objects.filter(user=user, pk=token_id)
    if not own.valid().exists() or not own.revoke(user.get_username()):
        raise NotFound("You have no such token, or it is not valid any more.")
