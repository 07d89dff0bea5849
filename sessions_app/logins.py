"""Login sessions of Django, many at once: whose they are, and whether they are still good."""

from collections.abc import Collection

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
)
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.utils.crypto import constant_time_compare


def logged_in_users(keys: Collection[str]) -> dict[str, User]:
    """Return who is logged in by each of the login sessions with these keys: two queries.

    As Django does for one request: the session is there and has not expired, and its user is active and has the
    password with which the session was begun. So a logout, a deleted session and a changed password end it.
    """
    if not keys:
        return {}
    rows = Session.objects.filter(session_key__in=keys, expire_date__gt=Now())
    begun = {row.session_key: row.get_decoded() for row in rows}
    pks = {data[SESSION_KEY] for data in begun.values() if SESSION_KEY in data}
    users = {
        str(user.pk): user for user in get_user_model().objects.filter(pk__in=pks, is_active=True)
    }
    found = {}
    for key, data in begun.items():
        user = users.get(data.get(SESSION_KEY, ""))
        if user is not None and _is_of(data, user):
            found[key] = user
    return found


def logged_in(keys: Collection[str]) -> dict[str, int]:
    """Return the primary keys of those users."""
    return {key: user.pk for key, user in logged_in_users(keys).items()}


def _is_of(data: dict[str, str], user: User) -> bool:
    if data.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return False
    known = data.get(HASH_SESSION_KEY, "")
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(known, one) for one in hashes)
