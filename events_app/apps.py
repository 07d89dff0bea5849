from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class EventsAppConfig(AppConfig):
    name = "events_app"
    verbose_name = "Events"

    def ready(self) -> None:
        from events_app import checks  # noqa: F401  (registers the checks)
        from events_app.database import any_of, single_rows, times  # noqa: F401  (registers the lookup)

        connection_created.connect(times.use)
        post_migrate.connect(single_rows.after_migrate, sender=self)
