"""Who asked the holder of an edit session for it."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from sessions_app.models.edit_session import EditSession
from sessions_app.models.workstation import Workstation


class HandoffRequest(models.Model):
    """Somebody would like to have a session handed over.

    Written under the lock of its item, and of the workstation that it names, under which alone it is taken back.

    The database deletes it with its session (migration 0005), so that no end of a session has to look for it. Of a
    workstation that is deleted it stays as long: it then names nobody.
    """

    session = models.ForeignKey(EditSession, on_delete=models.DO_NOTHING, db_constraint=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    workstation = models.ForeignKey(
        Workstation,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        help_text="Where the asker wants it; none is any of the asker's",
    )
    requested_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session", "user", "workstation"],
                nulls_distinct=False,
                name="handoff_request_once_each",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} for {self.session_id}"
