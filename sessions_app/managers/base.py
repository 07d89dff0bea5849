"""What the parts of `EditSession.objects` have in common: the vocabulary of its QuerySet."""

from django.db import models

from sessions_app.models.edit_session_queryset import EditSessionQuerySet


class Base(models.Manager.from_queryset(EditSessionQuerySet)):  # type: ignore[misc]
    """`EditSession.objects` without what changes sessions."""
