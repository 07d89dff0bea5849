"""Log-ins by OpenID Connect, which docs/accounts.md describes: Authlib speaks with the provider."""

from typing import Final

# Its log-in sessions end as those by a password: with the account, a new password, or after their time.
BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
