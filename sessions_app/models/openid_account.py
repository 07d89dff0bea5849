"""Which accounts belong to users of a provider of OpenID Connect."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class OpenIdAccount(models.Model):
    """An account, and who it is at the provider.

    The provider never gives the same subject to two people, while names and mail addresses may pass from one to
    another. So only issuer and subject say whose account it is.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="openid_account"
    )
    issuer = models.TextField(help_text="The provider's address, as it names itself")
    subject = models.TextField(help_text="The user's id there")
    since = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="openid_account_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"
