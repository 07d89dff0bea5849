from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Edit sessions"

    def ready(self) -> None:
        from sessions_app import checks, migrating, signals  # noqa: F401  (registers them)

        pre_migrate.connect(migrating.refuse_to_lose_the_record, sender=self)
        post_migrate.connect(migrating.create_roles, sender=self)
