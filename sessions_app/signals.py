"""What follows from changes that are not made through the operations."""

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

from sessions_app.models import EditSession, session_log

logger = logging.getLogger(__name__)


@receiver(post_save, sender=get_user_model(), dispatch_uid="release what a deactivated user holds")
def release_of_deactivated(instance: Any, **_: Any) -> None:
    """Release at once what a user holds who is deactivated. What bypasses `save` the sweeper finds."""
    if not instance.is_active:
        # Robust: it is saved whatever becomes of this, and the sweeper does it again.
        transaction.on_commit(_release, robust=True)


def _release() -> None:
    for record in EditSession.objects.release_deactivated():
        logger.info("released session of a deactivated user", extra=session_log.named(record))
