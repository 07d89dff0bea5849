"""The accounts of users who log in by OpenID Connect: whose they are, how they are made, and what they may do."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from sessions_app import accounts
from sessions_app.authentication import NO_ROLE
from sessions_app.models import OpenIdAccount
from sessions_app.roles import Role
from sessions_app.text import text_fault

logger = logging.getLogger(__name__)

# Of Django's columns.
NAME_MAX = 150


@dataclass(frozen=True)
class Identity:
    """Who somebody is, as the provider says.

    Args:
        issuer: the provider.
        subject: the user's id there.
        username: the user's name; only a new account gets it.
        first_name: as people call the user.
        last_name: the same.
        role: what the user's groups mean here; None for nothing.
    """

    issuer: str
    subject: str
    username: str
    first_name: str
    last_name: str
    role: Role | None


class NoEntry(Exception):
    """Somebody whom the provider knows may not log in.

    Args:
        why: in two or three words, for the log.
        message: a sentence for the page.
        username: the account, or the name at the provider.
    """

    def __init__(self, why: str, message: str, username: str) -> None:
        super().__init__(message)
        self.why = why
        self.message = message
        self.username = username


def account_of(identity: Identity, *, gives_roles: bool, take_over: bool) -> User:
    """Return the account with which somebody may log in, with the name and the role that the provider says.

    Args:
        identity: who it is.
        gives_roles: whether the provider gives and takes roles; else they are given here.
        take_over: whether an account of this name that is nobody's at this provider becomes this person's.

    Raises:
        NoEntry: the account is deactivated, has no role, cannot be made, or is another one's.
    """
    try:
        return _account_of(identity, gives_roles, take_over)
    except IntegrityError:
        # Another log-in of the same person has made it meanwhile.
        return _account_of(identity, gives_roles, take_over)


def _account_of(identity: Identity, gives_roles: bool, take_over: bool) -> User:
    with transaction.atomic():
        user = _known(identity) or _new(identity, gives_roles, take_over)
        if not user.is_active:
            # Here: it is not linked.
            raise NoEntry("deactivated", "This account is deactivated.", user.username)
        _renew(user, identity, gives_roles)
    # Only now: that the provider takes a role away is written.
    if Role.of(user) is None:
        raise NoEntry("no role", NO_ROLE, user.username)
    return user


def _known(identity: Identity) -> User | None:
    # Two log-ins at once give roles one after the other. One statement: an account that is deleted meanwhile is none.
    return (
        User.objects.select_for_update(of=("self",))
        .filter(openid_account__issuer=identity.issuer, openid_account__subject=identity.subject)
        .first()
    )


def _new(identity: Identity, gives_roles: bool, take_over: bool) -> User:
    """Return the account that becomes this person's: a new one, or one that was nobody's at this provider."""
    name = identity.username
    if gives_roles and identity.role is None:
        # Whoever has an account at a large provider leaves nothing here, takes nothing over, and learns no names.
        raise NoEntry("no role", NO_ROLE, name[:NAME_MAX])
    found = accounts.find(name)
    # Locked: of two people who come with one name at once, one becomes this account.
    user = User.objects.select_for_update().filter(pk=found.pk).first() if found else None
    if user is not None:
        at_provider = OpenIdAccount.objects.filter(user=user, issuer=identity.issuer)
        subject = at_provider.values_list("subject", flat=True).first()
        if subject == identity.subject:
            # Another log-in of the same person has linked it meanwhile.
            return user
        if not take_over or subject is not None:
            raise NoEntry(
                "name taken",
                f"The name {name[:NAME_MAX]} belongs to another account here. Ask an administrator.",
                user.username,
            )
    else:
        _check_name(name)
        user = User(username=name)
        user.set_unusable_password()
        user.save()
    whose = {"issuer": identity.issuer, "subject": identity.subject, "since": Now()}
    OpenIdAccount.objects.update_or_create(user=user, defaults=whose)
    _log_once_committed("account linked", user=user.username, issuer=identity.issuer)
    return user


def _check_name(name: str) -> None:
    try:
        UnicodeUsernameValidator()(name)
        accounts.refuse_twin(name)
        if len(name) > NAME_MAX:
            raise ValidationError("It is too long.")
    except ValidationError as error:
        message = "The provider's name for you cannot be one here: letters, digits and @ . + - _ may be in it."
        raise NoEntry("name not valid", message, name[:NAME_MAX]) from error


def _renew(user: User, identity: Identity, gives_roles: bool) -> None:
    """Write what has changed, so that a usual log-in writes nothing and clears no cache of credentials."""
    wanted = {"first_name": identity.first_name, "last_name": identity.last_name}
    if gives_roles and not user.is_superuser:
        wanted["is_staff"] = identity.role is Role.ADMIN  # type: ignore[assignment]
        if Role.of(user) is not identity.role:
            Role.give(user, identity.role)
            role = identity.role.group if identity.role else "none"
            _log_once_committed("role set by the provider", user=user.username, role=role)
    changed = [name for name, value in wanted.items() if getattr(user, name) != value]
    for name in changed:
        setattr(user, name, wanted[name])
    if changed:
        user.save(update_fields=changed)


def _log_once_committed(message: str, **extra: str) -> None:
    transaction.on_commit(partial(logger.info, message, extra=extra), robust=True)


def role_of(groups: Collection[str], groups_of: dict[Role, Collection[str]]) -> Role | None:
    """Return the highest role that some of the groups mean.

    Args:
        groups: those that somebody is in.
        groups_of: the groups that mean each role.
    """
    return max((role for role, some in groups_of.items() if set(some) & set(groups)), default=None)


def shown_name(value: object) -> str:
    """Return a provider's word for how somebody is called; "" where that cannot be shown."""
    text = value.strip() if isinstance(value, str) else ""
    return "" if text_fault(text) else text[:NAME_MAX]
