from django.apps import AppConfig


class BoardConfig(AppConfig):
    name = "board_app"
    verbose_name = "Board"

    def ready(self) -> None:
        from board_app import checks  # noqa: F401  (registers the checks)
