"""Edit sessions: the active ones only. What ended is in `EndedSession`."""

from django.contrib.postgres.indexes import GinIndex
from django.db import models

from sessions_app.interference.cones import ConeKeys, HasKeys
from sessions_app.models.abstract_edit_session import AbstractEditSession, ContextLevel
from sessions_app.models.edit_session_manager import EditSessionManager


class EditSession(AbstractEditSession):
    """The lock itself: see `AbstractEditSession` for its columns, `EditSessionManager` for how it begins and ends.

    There is no index on `last_heartbeat`, so that a heartbeat stays a heap-only update.
    """

    objects = EditSessionManager()

    class Meta:
        constraints = [
            # The hard lock itself.
            models.UniqueConstraint(
                fields=["item", "context_level", "object_id"], name="edit_session_hard_lock"
            ),
            models.CheckConstraint(
                condition=models.Q(context_level__in=ContextLevel.values),
                name="edit_session_context_level",
            ),
        ]
        indexes = [
            # Written at once: a list of what is pending would be read by every acquire. Most cones are empty, and those
            # are left out.
            GinIndex(
                ConeKeys("item", "dependency_cone"),
                condition=models.Q(HasKeys("dependency_cone")),
                fastupdate=False,
                name="edit_session_cone_keys",
            ),
        ]
