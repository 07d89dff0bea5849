"""Requests for hot calls, and who sends them, to be sent all ways."""

import asyncio
import json
import re
from contextlib import contextmanager
from urllib.parse import unquote

import pytest

from events_app.http.stream_answer import LEAVING
from sessions_app import credentials
from sessions_app.models import ApiToken
from sessions_app.roles import Role
from tests.factories import acquire, make_connected, make_item, make_token, make_user
from tests.integration.by_lane import ByLane

# What differs from answer to answer.
VARIABLE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r'|"fencing_token": ?\d+'
)


@contextmanager
def tokens_stay_known():
    """Have tokens known without a query, once they were looked up, however long a test takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials.cache, "clock", lambda: 0.0)
        credentials.cache.listening()
        credentials.cache.proved(0.0)
        yield
    credentials.cache.lost()


class World:
    """A user with a workstation, sessions and items of its own, and those of another one."""

    def __init__(self, number):
        self.names = {name: f"{name}{number}" for name in ("ada", "bob", "viewer", "nobody")}
        self.ada = make_connected(self.names["ada"])
        bob = make_connected(self.names["bob"])
        self.part, self.held, self.others, self.retired = (
            f"{name}{number}" for name in ("FREE/", "HELD +", "OTHERS ", "RETIRED ")
        )
        self.session = acquire(self.ada, make_item(self.held)).session
        acquire(bob, make_item(self.others))
        make_item(self.part)
        make_item(self.retired)
        self.token = make_token(self.ada.user, Role.EDITOR)
        self.viewers = make_token(make_user(self.names["viewer"], Role.VIEWER))
        self.nobodys = make_token(make_user(self.names["nobody"], None))
        self.bobs = bob.pk
        self.revoked = make_token(self.ada.user)
        ApiToken.objects.order_by("-pk").first().delete()

    def normal(self, text):
        """A text without what is this world's only."""
        # First: one id in some thousand has a name in its digits, such as ada1.
        text = VARIABLE.sub("~", text)
        for name, value in {**self.names, "part": self.part, "held": self.held}.items():
            text = text.replace(value, name)
        return text.replace(self.others, "others").replace(self.retired, "retired")


class Ask:
    """One request in a world."""

    def __init__(self, world, method, path, body=b"", **changed):
        headers = {
            "host": "127.0.0.1:8000",
            "authorization": f"Bearer {world.token}",
            "content-type": "application/json",
        } | {name.replace("_", "-"): value for name, value in changed.items()}
        self.body = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
        headers.setdefault("content-length", str(len(self.body)))
        given = [
            (k, v) for k, vs in headers.items() for v in ([vs] if isinstance(vs, str) else vs or [])
        ]
        path, _, query = path.partition("?")
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in given],
            "client": ["127.0.0.1", 5],
            "server": ["127.0.0.1", 8000],
        }

    def as_bytes(self):
        """The request, as it is sent."""
        path, query = self.scope["raw_path"], self.scope["query_string"]
        target = path + b"?" + query if query else path
        lines = [b"%s %s HTTP/1.1" % (self.scope["method"].encode(), target)]
        lines += [b"%s: %s" % header for header in self.scope["headers"]]
        return b"\r\n".join([*lines, b"", self.body])

    async def of(self, application, left=None):
        """Return status, headers and body of the answer, or None: the client leaves when the event `left` is set."""
        if isinstance(application, ByLane):
            return await application.answer(self.as_bytes(), left)
        messages, sent = [{"type": "http.request", "body": self.body, "more_body": False}], []
        leaving = []

        async def receive():
            if messages:
                return messages.pop()
            await (left or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] != LEAVING:
                sent.append(message)
            elif left:
                leaving.append(asyncio.create_task(called_after(left, message["call"])))

        async def called_after(event, call):
            await event.wait()
            call()

        await application(dict(self.scope), receive, send)
        for task in leaving:
            task.cancel()
        if not sent:
            return None
        headers = sorted((k.lower(), v) for k, v in sent[0]["headers"])
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], headers, body.decode()


def acquire_url(part):
    return f"/api/items/{part.replace('/', '%2F').replace(' ', '%20')}/edit-sessions"
