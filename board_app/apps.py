from django.apps import AppConfig


class BoardConfig(AppConfig):
    name = "board_app"
    verbose_name = "Board"
