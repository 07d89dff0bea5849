"""The addresses of the board: `/`, the pages of items, workstations and users, and the rest under `/board/`."""

from django.urls import path

from board_app.pages import act, item, log_in, openid, password, sessions, tokens, user, workstation
from sessions_app.api import paths  # noqa: F401  registers the converter of part numbers

app_name = "board"

urlpatterns = [
    path("", sessions.show, name="sessions"),
    path("board/rows", sessions.changed, name="changed"),
    path("board/sessions/<uuid:session_id>", act.show, name="session"),
    path("board/log-in", log_in.log_in, name="log_in"),
    path("board/log-in/openid", openid.begin, name="openid"),
    path("board/log-in/openid/answer", openid.answer, name="openid_answer"),
    path("board/log-out", log_in.log_out, name="log_out"),
    path("board/password", password.change, name="password"),
    path("board/tokens", tokens.show, name="tokens"),
    path("board/tokens/<int:token_id>/revoke", tokens.revoke, name="revoke_token"),
    path("items/<part_number:part_number>", item.show, name="item"),
    path("workstations/<part_number:workstation_id>", workstation.show, name="workstation"),
    path("users/<part_number:username>", user.show, name="user"),
]
