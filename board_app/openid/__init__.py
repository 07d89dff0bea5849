"""Log-ins by OpenID Connect, which docs/accounts.md describes: Authlib speaks with the provider."""
