"""Creates the two single rows without which no server starts. Called by every `migrate` and `flush`."""

from typing import Any

from django.apps import apps as installed

from events_app.models import new_epoch


def create(apps: Any, using: str) -> None:
    """Create the row of the log, which begins a new epoch, and that of the observation, where they are missing.

    Args:
        apps: the models as the database has them; those that it does not have yet are left out.
        using: the database's alias.
    """
    for name, values in {"EventLog": {"epoch": new_epoch()}, "Observation": {}}.items():
        try:
            model = apps.get_model("events_app", name)
        except LookupError:
            continue
        model.objects.using(using).get_or_create(pk=1, defaults=values)


def after_migrate(using: str, apps: Any = installed, **_: Any) -> None:
    """The receiver of `post_migrate`."""
    create(apps, using)
