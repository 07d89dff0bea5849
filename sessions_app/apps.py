from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Edit sessions"

    def ready(self) -> None:
        from django.contrib.auth import get_user_model

        from sessions_app import accounts, checks, migrating, signals  # noqa: F401  (registers them)

        # In every form and command that checks a name: `createsuperuser`, the admin site, `createtoken`.
        get_user_model()._meta.get_field("username").validators.append(accounts.refuse_twin)
        pre_migrate.connect(migrating.refuse_to_lose_the_record, sender=self)
        post_migrate.connect(migrating.create_roles, sender=self)
        post_migrate.connect(migrating.warn_of_twins, sender=self)
