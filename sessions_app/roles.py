"""Roles: what one may do. Their names are those of Django's groups."""

from enum import IntEnum
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet


class Role(IntEnum):
    """Each may do what those before it may."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3

    @property
    def group(self) -> str:
        """The name of the group."""
        return self.name.lower()

    @classmethod
    def of(cls, user: Any) -> "Role | None":
        """Return the highest role of a user, or None without any."""
        if user.is_superuser:
            return cls.ADMIN
        groups = set(user.groups.values_list("name", flat=True))
        return max((role for role in cls if role.group in groups), default=None)

    def users(self) -> QuerySet[User]:
        """The active users who may do this."""
        groups = [role.group for role in Role if role >= self]
        in_role = Q(is_superuser=True) | Q(groups__name__in=groups)
        return get_user_model().objects.filter(in_role, is_active=True)
