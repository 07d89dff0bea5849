"""Requests behind the gate of requests, each of which a test lets out when it wants."""

import asyncio

from events_app.fairness import callers, request_gate
from events_app.fairness.request_gate import Limits, limited


async def stays():
    """A client that sends nothing more and stays."""
    await asyncio.Event().wait()


def scope_of(name, address="10.0.0.1", method="GET", **more):
    headers = [(b"authorization", b"Bearer " + name.encode())] if name else []
    return {"headers": headers, "client": (address, 1), "method": method, **more}


class Door:
    """Requests behind one gate. Each is let out by name."""

    def __init__(self, places=3, most=1000, urgent=()):
        self.inside = []
        self.entered = []
        self.refused = []
        self._out = {}
        self._tasks = {}
        limits = Limits(most, most, self._refuse, lambda scope: scope["method"] in urgent)
        self._gate = limited(self._application, places, limits)

    async def _refuse(self, scope, receive, send):
        self.refused.append(scope["name"])

    async def _application(self, scope, receive, send):
        name = scope["name"]
        if user_id := scope.get("becomes"):
            await asyncio.to_thread(request_gate.authenticated, scope, user_id)
        self.entered.append(name)
        self.inside.append(name)
        await self._out[name].wait()
        self.inside.remove(name)

    def ask(self, name, scope, receive=stays):
        self._out[name] = asyncio.Event()
        call = self._gate({**scope, "name": name}, receive, None)
        self._tasks[name] = asyncio.get_running_loop().create_task(call)

    async def settle(self):
        for _ in range(20):
            await asyncio.sleep(0)

    async def let_out(self, name):
        self._out[name].set()
        await self._tasks[name]
        await self.settle()

    async def let_all_out(self):
        while not all(task.done() for task in self._tasks.values()):
            for name in list(self.inside):
                self._out[name].set()
            await asyncio.sleep(0.001)


def known(name, user_id):
    callers.known_credentials.note(callers.credentials(scope_of(name)), user_id)


def behind(door_test, **options):
    """Run a test of a door in a loop."""

    async def go():
        async with asyncio.timeout(10):
            door = Door(**options)
            await door_test(door)
            await door.let_all_out()

    asyncio.run(go())
