"""What a new token may be, for whoever makes it."""

from typing import Final

from django.contrib.auth.models import User

from sessions_app.roles import Role

MAX_DAYS: Final = 3660
MAX_NAME: Final = 200


def why_not(owner: User, role: Role) -> str | None:
    """Return why a token of this user cannot be made with this role, in a sentence; None where it can."""
    name = owner.get_username()
    if not owner.is_active:
        return f"{name} is deactivated; no token of theirs would be valid."
    has = Role.of(owner)
    if has is not None and has >= role:
        return None
    return (
        f"{name} is {has.group if has else 'without a role'}; a token cannot allow more. "
        f"Put the user into the group {role.group} first."
    )
