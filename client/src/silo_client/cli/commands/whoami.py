"""`silo whoami`: who the server takes the caller for, and what the token allows until when."""

from silo_client.cli.connection import connected
from silo_client.cli.options import AsJson
from silo_client.cli.output import say, show_table, when, write_json
from silo_client.cli.table import Column
from silo_client.data import time_of

COLUMNS = (
    Column("User", 0, 10),
    Column("Name", 4, 10),
    Column("Role", 1, 6),
    Column("Token", 5, 13),
    Column("Limited to", 3, 6),
    Column("Until", 2, 12),
    Column("For", 6, 8),
)
NO_ROLE = (
    "You have no role, so you may neither see nor edit anything; an administrator can give one."
)


def whoami(as_json: AsJson = False) -> None:
    """Show who you are to the server: user, role, what your token is limited to and until when."""
    with connected() as api:
        me = api.call("GET", "/api/me").json()
    if as_json:
        write_json(me)
        return
    token = me["token"] or {}
    # A login session has no token, and an end of its own.
    until = (when(time_of(token["expires_at"])) or "no end") if token else ""
    prefix = f"{token['prefix']}…" if token else ""
    row = (me["user"], me["user_name"], me["role"] or "none", prefix)
    show_table(COLUMNS, [(*row, token.get("role", ""), until, token.get("name", ""))])
    if me["role"] is None:
        say(NO_ROLE)
