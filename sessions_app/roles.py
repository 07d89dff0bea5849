"""Roles: what one may do. Their names are those of Django's groups."""

from collections.abc import Collection
from enum import IntEnum
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Q, QuerySet


class Role(IntEnum):
    """Each may do what those before it may."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3

    @property
    def group(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, user: Any) -> "Role | None":
        """Return the highest role of a user, or None without any."""
        if user.is_superuser:
            return cls.ADMIN
        return cls.of_all([user]).get(user.pk)

    @classmethod
    def of_all(cls, users: Collection[Any]) -> "dict[int, Role]":
        """Return the highest role of each of the users, by primary key; those without any are missing."""
        groups: dict[int, set[str]] = {user.pk: set() for user in users if not user.is_superuser}
        if groups:
            users_in = get_user_model().objects.filter(pk__in=groups, groups__name__in=cls.groups())
            for pk, group in users_in.values_list("pk", "groups__name"):
                groups[pk].add(group)
        highest = {user.pk: cls.among(groups.get(user.pk, ()), user) for user in users}
        return {pk: role for pk, role in highest.items() if role is not None}

    @classmethod
    def among(cls, groups: Collection[str], user: Any) -> "Role | None":
        """Return the highest role of a user who is in these groups, or None without any."""
        if user.is_superuser:
            return cls.ADMIN
        return max((role for role in cls if role.group in groups), default=None)

    @classmethod
    def give(cls, user: User, role: "Role | None") -> None:
        """Give a user a role instead of the one before, or with None take it away; other groups stay."""
        wanted = role.group if role else ""
        with transaction.atomic():
            user.groups.remove(*Group.objects.filter(name__in=cls.groups()).exclude(name=wanted))
            if role is not None:
                user.groups.add(Group.objects.get(name=wanted))

    @classmethod
    def groups(cls) -> list[str]:
        """The names of the groups that mean a role."""
        return [role.group for role in cls]

    def users(self) -> QuerySet[User]:
        """The active users who may do this."""
        groups = [role.group for role in Role if role >= self]
        in_role = Q(is_superuser=True) | Q(groups__name__in=groups)
        return get_user_model().objects.filter(in_role, is_active=True)
