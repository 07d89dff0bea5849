"""The way through the writer, which a test can hold in the middle of a set, and users who ask it."""

import asyncio
import threading

from sessions_app import writer
from sessions_app.authentication import shared_principals
from sessions_app.operations import sets
from sessions_app.roles import Role
from silo import set_way
from tests.factories import make_connected, make_token
from tests.integration.by_lane import ByLane, run
from tests.integration.hot_calls import Ask, acquire_url


class Place:
    """A user with a workstation and a known token."""

    def __init__(self, name):
        self.workstation = make_connected(name)
        self.token = make_token(self.workstation.user, Role.EDITOR)
        shared_principals({self.token})

    def acquires(self, item):
        """The request of an acquire."""
        body = {"workstation_id": self.workstation.pk, "context_level": "sketch"}
        return Ask(self, "POST", acquire_url(item.part_number), body)

    def acquires_all(self, items):
        """The request of a batch, in this order."""
        sessions = [{"part_number": item.part_number, "context_level": "sketch"} for item in items]
        body = {"workstation_id": self.workstation.pk, "sessions": sessions}
        return Ask(self, "POST", "/api/edit-sessions/batch", body)

    def releases_all(self, ids):
        """The request of a release of many."""
        return Ask(self, "POST", "/api/edit-sessions/release", {"session_ids": ids})

    def releases(self, session):
        """The request of a release."""
        path = f"{acquire_url(session.item.part_number)}/{session.pk}"
        return Ask(self, "DELETE", path)


class Scene:
    """The way with its writer, which can be held in the middle of a set, and how often requests were handed on.

    Args:
        by_lane: whether requests come by the lane.
    """

    def __init__(self, monkeypatch, by_lane):
        self._by_lane = by_lane
        self.go = threading.Event()
        self.go.set()
        self.sets = []
        self.handed_on = 0
        self.error = None
        carry_out = sets.carry_out

        def held(requests):
            self.sets.append(requests)
            assert self.go.wait(20)
            if self.error:
                raise self.error
            return carry_out(requests)

        monkeypatch.setattr(writer, "carry_out", held)

    async def _hand_on(self, scope, receive, send):
        self.handed_on += 1
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def run(self, script):
        async def main():
            self.writer = writer.new_writer()
            self.way = self.way_to(self.writer)
            try:
                async with asyncio.timeout(60):
                    await script()
            finally:
                self.go.set()
                await self.writer.close()

        run(main)

    def way_to(self, writer):
        """A way to a writer."""
        way = set_way.SetWay(writer)
        return ByLane(way, self._hand_on) if self._by_lane else way.application(self._hand_on)

    def ask(self, request, left=None):
        """Send a request, whose client leaves when that event is set; return the task of its answer."""
        return asyncio.create_task(request.of(self.way, left))

    async def hold(self, request):
        """Have a set held in the thread with this request; return the task of its answer."""
        self.go.clear()
        before = len(self.sets)
        task = self.ask(request)
        await self.until(lambda: len(self.sets) > before)
        return task

    async def waits(self, place, count=1):
        user = place.workstation.user.pk
        await self.until(lambda: self.writer.waiting((user, False)) == count)

    @staticmethod
    async def until(condition):
        while not condition():  # noqa: ASYNC110  (of another thread)
            await asyncio.sleep(0.001)
