"""`silo whoami` at a real server."""

from django.core.management import call_command

from sessions_app.models import ApiToken
from tests.waiting import eventually


def test_says_who_one_is_and_what_the_token_allows_until_when(ada):
    token = ApiToken.objects.get(shown=ada.client.token[:13])
    me = ada.json("whoami")
    assert (me["user"], me["role"], me["token"]["prefix"]) == ("ada", "editor", token.shown)
    row = ada.run("whoami").stdout.rstrip("\n").split("\t")
    limit = [f"{token.shown}…", token.role, "no end", token.name]
    assert row == ["ada", me["user_name"], "editor", *limit]
    assert ada.client.token not in str(me) + str(row)
    # A server hears of a change, and needs no second for it.
    call_command("setrole", "ada", "none")
    eventually(lambda: ada.json("whoami")["role"] is None)
    done = ada.run("whoami")
    assert done.returncode == 0
    assert done.stdout.split("\t")[2] == "none"
    assert "silo: You have no role" in done.stderr
    call_command("revoketoken", token.shown)
    eventually(lambda: ada.run("whoami").returncode == 3)
