"""The addresses of the board: `/`, and everything else under `/board/`."""

from django.urls import path

from board_app.pages import log_in, password, sessions

app_name = "board"

urlpatterns = [
    path("", sessions.show, name="sessions"),
    path("board/log-in", log_in.log_in, name="log_in"),
    path("board/log-out", log_in.log_out, name="log_out"),
    path("board/password", password.change, name="password"),
]
